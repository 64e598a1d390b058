//! Which addresses count as one client.

use std::net::IpAddr;

/// The unit that every limit per address counts: an IPv4 address (also when it is mapped into IPv6), or the /64 of an IPv6
/// address, which is what one subscriber gets.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::network;
    use std::net::IpAddr;

    #[test]
    fn an_ipv6_network_of_64_bits_and_a_mapped_address_count_as_one() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (address, counts_as) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::"),
            ("2001:db8::ffff:1", "2001:db8::"),
            ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ] {
            assert_eq!(network(ip(address)), ip(counts_as), "{address}");
        }
    }
}
