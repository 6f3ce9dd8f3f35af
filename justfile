# The short names of long commands.

# Everything that CI runs.
test:
    ./test

# Types and lints.
check:
    cargo clippy --workspace --all-targets -- -D warnings

# The gateway on this machine, with the sample behind it.
demo:
    cargo run --release -- up

# Accept changed snapshots after reading them.
snap:
    INSTA_UPDATE=always cargo test --workspace

# Licences, sources and banned crates.
deny:
    cargo deny check bans licenses sources
