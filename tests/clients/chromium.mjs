// The person at a real browser: headless Chromium signs in and consents through the pages, and carries the answer to
// the client by following the gateway's own redirect, as any browser would.
//
// usage (as BROWSER): node chromium.mjs URL

import { appendFileSync } from 'node:fs';

import { chromium } from 'playwright-core';

const { PERSON_NAME, PERSON_PASSWORD, PERSON_LOG, CHROMIUM = '/usr/bin/chromium' } = process.env;
const url = process.argv.at(-1);
const home = new URL(url).origin;
const note = line => PERSON_LOG && appendFileSync(PERSON_LOG, `${line}\n`);

const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
});
try {
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    page.on('framenavigated', frame => frame === page.mainFrame() && note(`chromium ${frame.url().split('?')[0]}`));
    page.on('console', message => message.type() === 'error' && note(`console: ${message.text()}`));
    await page.goto(url);
    if (await page.locator('input[type=password]').count()) {
        await page.fill('input[name=name]', PERSON_NAME);
        await page.fill('input[name=password]', PERSON_PASSWORD);
        await page.locator('form:has(input[type=password]) button[type=submit], form:has(input[type=password]) button:not([type])').first().click();
    }
    const approve = page.locator('button[name=decision][value=approve]');
    await approve.waitFor();
    if (process.env.PERSON_PICTURE) await page.screenshot({ path: process.env.PERSON_PICTURE, fullPage: true });
    await approve.click();
    await page.waitForURL(target => target.origin !== home);
    note(`delivered to ${page.url().split('?')[0]}`);
} catch (error) {
    note(`failed: ${error}`);
    throw error;
} finally {
    await browser.close();
}
