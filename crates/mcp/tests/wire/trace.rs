use portcullis_mcp::trace::{is_baggage, is_traceparent, is_tracestate};

/// spec: TR-73
#[test]
fn only_well_formed_trace_context_is_told_as_such() {
    assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    for wrong in [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
    ] {
        assert!(!is_traceparent(wrong), "{wrong}");
    }
    assert!(is_tracestate("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"));
    for wrong in ["", "x", "A=1", "a=b=c", "a=", "a=\n", &format!("a={}", "b".repeat(512)), &["a=1"; 33].join(",")] {
        assert!(!is_tracestate(wrong), "{wrong}");
    }
    assert!(is_baggage("userId=alice,isProduction=false;p=1"));
    for wrong in ["", "x", "=1", "a=\u{e9}", "a=1,"] {
        assert!(!is_baggage(wrong), "{wrong}");
    }
}
