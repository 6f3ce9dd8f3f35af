// Stands between the conformance suite, which cannot sign in, and the gateway: adds the access token, and changes nothing
// else but the names by which a local client addresses it. A foreign Host or Origin passes as it is, for the gateway to refuse.
//
// usage: TOKEN=… node bearer.mjs PORT GATEWAY_PORT PATH

import { createServer, request } from 'node:http';

const [port, gatewayPort, path] = process.argv.slice(2);
const local = new RegExp(`^(http://)?(127\\.0\\.0\\.1|localhost):${port}$`);

function translate(name, value) {
    const lower = name.toLowerCase();
    if (lower !== 'host' && lower !== 'origin') return value;
    return value.replace(local, `$1127.0.0.1:${gatewayPort}`);
}

createServer((req, res) => {
    const headers = ['authorization', `Bearer ${process.env.TOKEN}`];
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
        headers.push(req.rawHeaders[i], translate(req.rawHeaders[i], req.rawHeaders[i + 1]));
    }
    const onward = request({ host: '127.0.0.1', port: gatewayPort, path, method: req.method, headers, setHost: false }, answer => {
        res.writeHead(answer.statusCode, answer.rawHeaders);
        res.flushHeaders();
        answer.pipe(res);
        answer.on('error', () => res.destroy());
    });
    onward.on('error', error => {
        console.error(`${req.method}: ${error.message}`);
        if (res.headersSent) res.destroy();
        else res.writeHead(502).end(error.message);
    });
    res.on('close', () => onward.destroy());
    req.pipe(onward);
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
