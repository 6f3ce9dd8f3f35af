// A mail server for the tests, on loopback: it takes every mail, and prints each as a line of JSON.
//
// usage: node mail.mjs '{"directory": "/tmp/x", "secure": false, "hide": ["STARTTLS"]}'
//
// `directory` keeps the certificates of a private authority; `secure` is TLS from the first byte; what is in `hide` is not
// offered. One account: portcullis with the password `password`, which has to be used once TLS is there. Prints one line of
// JSON when it is ready and ends when its standard input does.

import { SMTPServer } from 'smtp-server';

import { certificate } from './authority.mjs';

const options = JSON.parse(process.argv[2]);
const tls = certificate(options.directory);
const plain = options.hide?.includes('STARTTLS') ?? false;

const server = new SMTPServer({
    secure: options.secure ?? false,
    cert: tls.cert,
    key: tls.key,
    hideSTARTTLS: plain,
    disabledCommands: plain ? ['STARTTLS', 'AUTH'] : [],
    allowInsecureAuth: false,
    authOptional: plain,
    onAuth({ username, password }, session, done) {
        const known = session.secure && username === 'portcullis' && password === 'password';
        done(known ? null : new Error('Who is that?'), known ? { user: username } : undefined);
    },
    onRcptTo({ address }, session, done) {
        done(address.startsWith('nobody@') ? Object.assign(new Error('no such mailbox'), { responseCode: 550 }) : null);
    },
    async onData(stream, session, done) {
        const parts = [];
        for await (const part of stream) parts.push(part);
        const { envelope, secure, user } = session;
        const to = envelope.rcptTo.map(({ address }) => address);
        console.log(JSON.stringify({ from: envelope.mailFrom.address, to, secure, user, text: Buffer.concat(parts).toString() }));
        done();
    },
});
// Whoever does not trust it hangs up.
server.on('error', () => {});
server.listen(0, '127.0.0.1', () => {
    const { port } = server.server.address();
    console.log(JSON.stringify({ host: `localhost:${port}`, here: `127.0.0.1:${port}`, authority: tls.authority }));
});
process.stdin.on('end', () => process.exit()).resume();
