// The person whose word a call waits for: headless Chromium signs in, finds the call in the inbox or is sent to its page, reads
// it and decides. DECIDE_WORD is approve or refuse; with DECIDE_PASSKEY they make a passkey first, in an authenticator that
// Chromium makes up, and approve with that. DECIDE_AFTER is how many seconds they think about it.
//
// usage: node decide.mjs URL      the inbox, or the page of one call

import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { chromium } from 'playwright-core';

const { PERSON_NAME, PERSON_PASSWORD, DECIDE_WORD = 'approve', DECIDE_PASSKEY, DECIDE_AFTER = '0', DECIDE_LOG, DECIDE_PICTURES, CHROMIUM = '/usr/bin/chromium' } = process.env;
const url = process.argv.at(-1);
const home = new URL(url).origin;
const note = line => DECIDE_LOG && appendFileSync(DECIDE_LOG, `${line}\n`);

const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
});
try {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(30_000);
    page.on('framenavigated', frame => frame === page.mainFrame() && note(`chromium ${frame.url()}`));
    page.on('console', message => message.type() === 'error' && note(`console: ${message.text()}`));
    const picture = name => DECIDE_PICTURES && page.screenshot({ path: `${DECIDE_PICTURES}/${name}.png`, fullPage: true });

    await page.goto(DECIDE_PASSKEY ? `${home}/account` : url);
    await page.fill('input[name=name]', PERSON_NAME);
    await page.fill('input[type=password]', PERSON_PASSWORD);
    await page.locator('form:has(input[type=password]) button').first().click();
    await page.waitForURL(target => !target.pathname.startsWith('/login'));
    if (DECIDE_PASSKEY) {
        const devtools = await page.context().newCDPSession(page);
        await devtools.send('WebAuthn.enable');
        const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
        await devtools.send('WebAuthn.addVirtualAuthenticator', { options });
        await page.fill('#passkey-name', 'This machine');
        await page.locator('button[data-passkey-create]').click();
        await page.waitForURL(/done=passkey-added/);
        await picture('passkeys');
        await page.goto(url);
    }
    const call = page.locator('table[aria-label="Calls that wait for your word"] a, [aria-labelledby=yours] td a').first();
    // Somebody who looks into the inbox from time to time.
    for (let looks = 0; page.url().endsWith('/approvals'); looks++) {
        if (await call.count()) {
            await picture('inbox');
            await call.click();
            await page.waitForURL(/\/approvals\/./);
        } else if (looks === 240) {
            throw new Error('no call waits');
        } else {
            await sleep(250);
            await page.reload();
        }
    }
    await picture('pending');
    note(await page.locator('main').innerText());
    await sleep(Number(DECIDE_AFTER) * 1000);
    if (DECIDE_WORD === 'refuse') {
        await page.fill('#why', 'Lena was paid back yesterday');
        await page.getByRole('button', { name: 'Refuse' }).click();
    } else if (DECIDE_PASSKEY) {
        await page.locator('button[data-passkey-get]').click();
    } else {
        await page.getByRole('button', { name: 'Approve', exact: true }).click();
    }
    await page.waitForURL(/done=/);
    await picture(DECIDE_WORD === 'refuse' ? 'refused' : 'approved');
} catch (error) {
    note(`failed: ${error}`);
    throw error;
} finally {
    await browser.close();
}
