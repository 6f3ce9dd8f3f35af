//! Which addresses may be dialled (RFC 6890 and what came after it).
//!
//! The rule is an allow rule: an address must be ordinary global unicast. Names prove nothing, so the rule is applied to
//! what a name resolved to, to every address of the answer, and the connection then goes to one of exactly those.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::{Ipv4Net, Ipv6Net};

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Ordinary global unicast.
    Global,
    /// This machine or a private network: only where an administrator named it.
    Private,
    /// Never dialled: link-local (cloud metadata lives there), multicast, reserved, documentation, and every form that
    /// carries another address inside.
    Forbidden,
}

/// How far one connection may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Global addresses only.
    Global,
    /// Also this machine and private networks: an administrator named the host.
    Private,
}

/// An address that may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address {0} is not one that may be reached")]
pub struct Refused(pub IpAddr);

/// The hosts an administrator named, each as `host:port`; everything else must be global.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    named: HashSet<(String, u16)>,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const PRIVATE_V4: [Ipv4Net; 5] =
    [v4(10, 0, 0, 0, 8), v4(100, 64, 0, 0, 10), v4(127, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16)];

const FORBIDDEN_V4: [Ipv4Net; 13] = [
    v4(0, 0, 0, 0, 8),       // this network
    v4(169, 254, 0, 0, 16),  // link-local, cloud metadata
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 31, 196, 0, 24), // AS112
    v4(192, 52, 193, 0, 24), // AMT
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 175, 48, 0, 24), // AS112
    v4(198, 18, 0, 0, 15),   // benchmarking
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, broadcast
];

/// Global unicast; what lies outside (mapped, compatible, NAT64, discard, site-local, link-local, multicast) is refused.
const UNICAST_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

const FORBIDDEN_V6: [Ipv6Net; 6] = [
    v6(0x2001, 0, 0, 23),         // protocol assignments: Teredo, benchmarking, ORCHID, AS112
    v6(0x2001, 0xdb8, 0, 32),     // documentation
    v6(0x2002, 0, 0, 16),         // 6to4: an IPv4 address inside
    v6(0x2620, 0x4f, 0x8000, 48), // AS112
    v6(0x3ffe, 0, 0, 16),         // the dead 6bone
    v6(0x3fff, 0, 0, 20),         // documentation
];

const UNIQUE_LOCAL_V6: Ipv6Net = v6(0xfc00, 0, 0, 7);

impl Place {
    /// Where `address` is.
    // spec: T-23, SEC-10, SEC-12: the standard library parsed the address; only whole ranges are compared here.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) if PRIVATE_V4.iter().any(|net| net.contains(&ip)) => Self::Private,
            IpAddr::V4(ip) if FORBIDDEN_V4.iter().any(|net| net.contains(&ip)) => Self::Forbidden,
            IpAddr::V6(ip) if ip == Ipv6Addr::LOCALHOST || UNIQUE_LOCAL_V6.contains(&ip) => Self::Private,
            IpAddr::V6(ip) if !UNICAST_V6.contains(&ip) => Self::Forbidden,
            IpAddr::V6(ip) if FORBIDDEN_V6.iter().any(|net| net.contains(&ip)) => Self::Forbidden,
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Global,
        }
    }
}

impl AddressPolicy {
    /// Global addresses only.
    pub fn global_only() -> Self {
        Self::default()
    }

    /// Also the hosts in `named`, each `host:port` (an IPv6 address in brackets). `Err` carries the entry that is none.
    pub fn naming<'a>(named: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let entry = |text: &'a str| {
            let (host, port) = text.rsplit_once(':')?;
            (!host.is_empty()).then_some(())?;
            Some((canonical(host), port.parse().ok()?))
        };
        let named =
            named.into_iter().map(|text| entry(text).ok_or_else(|| text.to_owned())).collect::<Result<_, _>>()?;
        Ok(Self { named })
    }

    /// The same policy that also names `host` at `port`.
    #[must_use]
    pub fn and(mut self, host: &str, port: u16) -> Self {
        self.named.insert((canonical(host), port));
        self
    }

    /// How far a connection to `host` on `port` may reach.
    pub fn reach(&self, host: &str, port: u16) -> Reach {
        if self.named.contains(&(canonical(host), port)) { Reach::Private } else { Reach::Global }
    }

    /// Whether an administrator named this host and port.
    pub fn names(&self, host: &str, port: u16) -> bool {
        self.reach(host, port) == Reach::Private
    }
}

impl Reach {
    /// Every one of `addresses` must be allowed; one bad answer condemns the name.
    // spec: T-23: "check every address against an allow-only-global policy"
    pub fn vet(self, addresses: &[SocketAddr]) -> Result<(), Refused> {
        let allowed = |place| match self {
            Self::Global => place == Place::Global,
            Self::Private => place != Place::Forbidden,
        };
        match addresses.iter().find(|address| !allowed(Place::of(address.ip()))) {
            Some(address) => Err(Refused(address.ip())),
            None => Ok(()),
        }
    }
}

fn canonical(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::of(text.parse().expect(text))
    }

    /// spec: T-23, SEC-10, SEC-12
    #[test]
    fn only_ordinary_global_addresses_are_global() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.9.9.9",
            "11.0.0.1",
            "93.184.216.34",
            "99.255.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.1",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2600::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::200e",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2620:fe::fe",
            "2c0f:fb50::1",
        ] {
            assert_eq!(place(text), Place::Global, "{text}");
        }
        for text in [
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.168.255.255",
            "::1",
            "fc00::1",
            "fd12:3456:789a::1",
            "fdff:ffff::1",
        ] {
            assert_eq!(place(text), Place::Private, "{text}");
        }
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.0.1",
            "169.254.169.254",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "::10.0.0.1",
            "::1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:1.1.1.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:ffff::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2620:4f:8000::1",
            "3ffe::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert_eq!(place(text), Place::Forbidden, "{text}");
        }
    }

    /// spec: T-23
    #[test]
    fn one_bad_address_condemns_the_whole_answer() {
        let answer: Vec<SocketAddr> = ["1.1.1.1:443", "127.0.0.1:443"].iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(Reach::Global.vet(&answer), Err(Refused("127.0.0.1".parse().unwrap())));
        assert_eq!(Reach::Private.vet(&answer), Ok(()));
        let metadata = ["169.254.169.254:80".parse().unwrap()];
        assert!(Reach::Private.vet(&metadata).is_err(), "naming a host never opens the metadata address");
    }

    /// spec: SEC-11
    #[test]
    fn private_hosts_are_reached_only_by_the_port_they_were_named_with() {
        let policy = AddressPolicy::naming(["Docs.internal:8443", "127.0.0.1:9000", "[::1]:9001"]).unwrap();
        assert!(policy.names("docs.INTERNAL.", 8443));
        assert!(policy.names("[::1]", 9001));
        assert!(!policy.names("docs.internal", 443));
        assert!(!policy.names("localhost", 9000));
        assert_eq!(AddressPolicy::naming(["nohost"]).unwrap_err(), "nohost");
        assert_eq!(AddressPolicy::naming(["h:99999"]).unwrap_err(), "h:99999");
    }
}
