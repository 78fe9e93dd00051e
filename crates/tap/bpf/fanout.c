/* Picks the ring of a fanout group (PACKET_FANOUT_EBPF) by the hash of the innermost flow. The kernel shows received frames from
 * the network header on, with the outermost tag beside them, and sent ones from the link-layer header on. */
#define LOAD(context, at, to, len) skb_load(context, at, to, len)
#include "walk.h"

SECTION("socket") int fanout(struct __sk_buff *skb)
{
    struct walk w = {.end = skb->len, .state = AT_KIND};

    if (skb->pkt_type == PACKET_OUTGOING && SETTINGS.ethernet)
        w.state = AT_LINK;
    else
        w.kind = __builtin_bswap16((u16)skb->protocol);
    if (SETTINGS.tenant == TENANT_VLAN && skb->vlan_present)
        w.tenant = skb->vlan_tci & 0xfff;
    walk(skb, &w);
    return w.has_ip && SETTINGS.lanes ? flow_hash(&w) % SETTINGS.lanes : 0;
}

SECTION("license") char LICENSE[] = "Dual MIT/GPL";
