//! What an interface does to the packets before they are seen.

use std::os::raw::c_int;

use weir_tap::{Device, Offloads};

use super::{Finding, Level};

/// IFF_UP and IFF_PROMISC of linux/if.h.
const UP: c_int = 1;
const PROMISCUOUS: c_int = 0x100;
/// The largest MTU whose frames a full snapshot length and a block of the default size take anyway: all of them.
const USUAL_MTU: i32 = 1500;

/// All checks of one interface.
pub fn check(name: &str, workers: usize) -> Vec<Finding> {
    match Device::open(name) {
        Ok(device) => {
            let mut findings = vec![link(name, &device), offloads(name, device.offloads())];
            findings.push(ring(name, &device));
            findings.push(queues(name, &device, workers));
            findings
        }
        Err(error) => vec![Finding::bad(
            "interface",
            Level::Error,
            format!("there is no interface {name}: {error}"),
            "`ip link` lists the interfaces",
        )],
    }
}

fn link(name: &str, device: &Device) -> Finding {
    let (Ok(flags), Ok(mtu)) = (device.flags(), device.mtu()) else {
        return Finding::bad("interface", Level::Error, "it is gone", "`ip link` lists the interfaces");
    };
    if flags & UP == 0 {
        return Finding::bad(
            "interface",
            Level::Error,
            "it is down: no frame will come",
            format!("ip link set {name} up"),
        );
    }
    let others = if flags & PROMISCUOUS == 0 {
        "frames for other hosts come once weir asks for them (promiscuous mode)"
    } else {
        "frames for other hosts come already (promiscuous mode)"
    };
    let cut = if mtu < USUAL_MTU {
        ": mirrored packets of 1500 bytes do not come through whole"
    } else if mtu < USUAL_MTU + 50 {
        "; packets of 1500 bytes that are mirrored by a tunnel need 1550"
    } else {
        ""
    };
    let found = format!("up, MTU {mtu}{cut}; {others}");
    if mtu < USUAL_MTU {
        return Finding::bad("interface", Level::Warning, found, format!("ip link set {name} mtu 1500"));
    }
    Finding::ok("interface", found)
}

fn offloads(name: &str, offloads: Offloads) -> Finding {
    if offloads.lro == Some(true) {
        return Finding::bad(
            "offloads",
            Level::Warning,
            "LRO is on: the card merges packets and what their headers were is lost",
            format!("ethtool -K {name} lro off"),
        );
    }
    let merged = [("GRO", offloads.gro), ("GSO", offloads.gso), ("TSO", offloads.tso)];
    let merged: Vec<_> = merged.iter().filter(|(_, on)| *on == Some(true)).map(|(name, _)| *name).collect();
    if merged.is_empty() {
        return Finding::ok("offloads", "none merges packets: every frame is seen as it was on the wire");
    }
    Finding::ok(
        "offloads",
        format!(
            "{} on: frames of up to 64 KiB are taken as they are, and counted as segments (ethtool -K {name} gro off tso off gso \
             off shows each packet, for more CPU time)",
            merged.join(", ")
        ),
    )
}

fn ring(name: &str, device: &Device) -> Finding {
    let Some(ring) = device.ring() else {
        return Finding::ok("ring", "the driver has no ring of a size (virtual interfaces have none)");
    };
    let found = format!("the card's receive ring has {} of at most {} frames", ring.now, ring.most);
    if ring.now.saturating_mul(2) < ring.most {
        let found = format!("{found}: bursts may be lost before the kernel sees them");
        return Finding::bad("ring", Level::Warning, found, format!("ethtool -G {name} rx {}", ring.most));
    }
    Finding::ok("ring", found)
}

fn queues(name: &str, device: &Device, workers: usize) -> Finding {
    let Some(queues) = device.queues() else {
        return Finding::ok("queues", "one queue, or the driver does not tell");
    };
    let found = format!("{} receive queues of at most {}, for {workers} workers", queues.now, queues.most);
    let wanted = u32::try_from(workers).unwrap_or(u32::MAX).min(queues.most);
    if queues.now < wanted {
        let found = format!("{found}: fewer CPUs than workers take packets from the card");
        let advice = format!("ethtool -L {name} combined {wanted}, or weir plan rss");
        return Finding::bad("queues", Level::Warning, found, advice);
    }
    Finding::ok("queues", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_by_the_card_is_warned_of_and_merging_by_the_kernel_is_not() {
        let lro = Offloads { lro: Some(true), ..Offloads::default() };
        let found = offloads("eth0", lro);
        assert!(found.level == Level::Warning && found.advice.unwrap().contains("ethtool -K eth0 lro off"));
        let gro = Offloads { gro: Some(true), gso: Some(true), ..Offloads::default() };
        let found = offloads("eth0", gro);
        assert!(found.level == Level::Ok && found.found.starts_with("GRO, GSO on"), "{found:?}");
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error_and_loopback_is_fine() {
        assert_eq!(check("no-such-if0", 1)[0].level, Level::Error);
        // Loopback is up nearly everywhere; where it is not, that is the error.
        assert!(check("lo", 1).len() == 4);
    }
}
