// A private authority with a certificate of it for `localhost` and one for whoever calls there, by the `openssl` program.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The files lie in `directory` and are made if they are not there: authority.pem, loopback.pem, loopback.key, caller.pem, caller.key. */
export function certificate(directory) {
    const file = name => join(directory, name);
    if (!existsSync(file('loopback.pem'))) make(directory, file);
    return { cert: readFileSync(file('loopback.pem')), key: readFileSync(file('loopback.key')), authority: file('authority.pem') };
}

function make(directory, file) {
    const openssl = words => execFileSync('openssl', words.split(' '), { cwd: directory, stdio: 'pipe' });
    const curve = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
    const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n';
    writeFileSync(file('loopback.ext'), names);
    openssl(`req -x509 ${curve} -days 2 -keyout authority.key -out authority.pem -subj /CN=Authority-of-the-provider`);
    openssl(`req ${curve} -keyout loopback.key -out loopback.csr -subj /CN=localhost`);
    openssl('x509 -req -in loopback.csr -CA authority.pem -CAkey authority.key -set_serial 7 -days 2 -extfile loopback.ext -out loopback.pem');
    writeFileSync(file('caller.ext'), 'extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n');
    openssl(`req ${curve} -keyout caller.key -out caller.csr -subj /CN=gateway`);
    openssl('x509 -req -in caller.csr -CA authority.pem -CAkey authority.key -set_serial 8 -days 2 -extfile caller.ext -out caller.pem');
}
