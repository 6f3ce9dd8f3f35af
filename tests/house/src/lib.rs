//! Holds no code: the tests of the whole house are in `tests/`.
