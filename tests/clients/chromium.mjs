// The person at a real browser: headless Chromium signs in and consents through the pages, and carries the answer to
// the client by following the gateway's own redirect, as any browser would.
//
// usage (as BROWSER): node chromium.mjs URL

import { appendFileSync } from 'node:fs';

import { chromium } from 'playwright-core';

const { PERSON_NAME, PERSON_PASSWORD, PERSON_CHOICE, PERSON_LOG, CHROMIUM = '/usr/bin/chromium' } = process.env;
const url = process.argv.at(-1);
const home = new URL(url).origin;
const note = line => PERSON_LOG && appendFileSync(PERSON_LOG, `${line}\n`);

const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
});
try {
    // The providers' authority is one of this run.
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    page.setDefaultTimeout(20_000);
    page.on('framenavigated', frame => frame === page.mainFrame() && note(`chromium ${frame.url().split('?')[0]}`));
    page.on('console', message => message.type() === 'error' && note(`console: ${message.text()}`));
    await page.goto(url);
    const approve = page.locator('button[name=decision][value=approve]');
    const name = page.locator('input[name=name], input[name=login]');
    const email = page.locator('input[name=email]');
    const button = page.locator(`a[href^="/login/${PERSON_CHOICE}?"]`);
    // Whatever comes first: who to sign in with, signing in, deciding; until the browser is with the client.
    const arrived = page.waitForURL(target => target.origin !== home && target.protocol === 'http:').then(() => 'arrived');
    for (let pictured = false; ; ) {
        const either = approve.or(name).or(email).or(button).first();
        if ((await Promise.race([arrived, either.waitFor().then(() => 'page')])) === 'arrived') break;
        const before = page.url();
        if (await approve.count()) {
            if (process.env.PERSON_PICTURE && !pictured) await page.screenshot({ path: process.env.PERSON_PICTURE, fullPage: true });
            pictured = true;
            await approve.click();
        } else if (await name.count()) {
            await name.fill(PERSON_NAME);
            await page.fill('input[type=password]', PERSON_PASSWORD);
            await page.locator('form:has(input[type=password]) button').first().click();
        } else if (await button.count()) {
            await button.click();
        } else {
            await email.fill(PERSON_CHOICE);
            await page.locator('form:has(input[name=email]) button').first().click();
        }
        await Promise.race([arrived, page.waitForURL(target => target.href !== before)]);
    }
    note(`delivered to ${page.url().split('?')[0]}`);
} catch (error) {
    note(`failed: ${error}`);
    throw error;
} finally {
    await browser.close();
}
