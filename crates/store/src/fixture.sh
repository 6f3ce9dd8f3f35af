# Starts a PostgreSQL server in a temporary directory, says "ready DIRECTORY", and waits for the end of its input.
# PostgreSQL refuses to run as root, so then all of it runs as the user its package made.
set -u
trap '' INT TERM HUP
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(pg_config --bindir 2>/dev/null)
if [ ! -x "$bin/initdb" ]; then
    echo "PostgreSQL is not installed: no initdb under /usr/lib/postgresql"
    exit 0
fi
as=
if [ "$(id -u)" = 0 ]; then as="setpriv --reuid=postgres --regid=postgres --clear-groups"; fi
cd /
dir=$($as mktemp -d "${TMPDIR:-/tmp}/portcullis-pg.XXXXXX") || exit 1
finish() {
    $as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
    rm -rf "$dir"
}
if $as "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$dir.log" 2>&1 &&
    $as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-c listen_addresses= -c unix_socket_directories=$dir \
        -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=32MB" \
        start >>"$dir.log" 2>&1 </dev/null; then
    rm -f "$dir.log"
    echo "ready $dir"
    exec >/dev/null
    while read -r _; do :; done
else
    echo "PostgreSQL did not start: $(tr '\n' ' ' <"$dir.log" | tail -c 500)"
    rm -f "$dir.log"
fi
finish
