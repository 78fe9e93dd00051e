/* What of the kernel's interface the programs need: numbers and structures of linux/bpf.h and linux/if_packet.h, written
 * out, so that a build needs clang and nothing else and gives the same object everywhere. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline

/* The beginning of struct __sk_buff, and struct xdp_md. */
struct __sk_buff {
    u32 len;
    u32 pkt_type;
    u32 mark;
    u32 queue_mapping;
    u32 protocol;
    u32 vlan_present;
    u32 vlan_tci;
    u32 vlan_proto;
    u32 priority;
    u32 ingress_ifindex;
    u32 ifindex;
};

struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
    u32 rx_queue_index;
    u32 egress_ifindex;
};

/* A map as loaders without type information know it. */
struct map {
    u32 type;
    u32 key_size;
    u32 value_size;
    u32 max_entries;
    u32 flags;
};

#define MAP_XSK 17

#define PACKET_OUTGOING 4

#define XDP_DROP 1
#define XDP_PASS 2

static u64 (*const monotonic)(void) = (void *)5;
static long (*const skb_load)(const void *skb, u32 at, void *to, u32 len) = (void *)26;
static long (*const redirect_map)(void *map, u64 key, u64 otherwise) = (void *)51;
static u64 (*const xdp_len)(const void *xdp) = (void *)188;
static long (*const xdp_load)(const void *xdp, u32 at, void *to, u32 len) = (void *)189;

INLINE u16 half(const u8 *b)
{
    return (u16)(b[0] << 8 | b[1]);
}

INLINE u32 word(const u8 *b)
{
    return (u32)b[0] << 24 | (u32)b[1] << 16 | (u32)b[2] << 8 | b[3];
}
