//! Forms of lines, read by parsers that are not ours.
