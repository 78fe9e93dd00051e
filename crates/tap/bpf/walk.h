/* From a frame to its innermost packet and the hash of its flow: the rules of crates/spread/src/program, which the classic
 * programs follow too, and the hash of crates/spread/src/hash.rs.
 *
 * The walk is one loop in which each round passes one header, so that the kernel's verifier has little to look at. Who includes
 * this says before how bytes are loaded: LOAD(context, at, to, len), which answers 0 where they are there. */
#pragma once

#include "kernel.h"

/* What the loader decides: words, so that it needs no layout but their order. */
struct settings {
    u32 by;          /* BY_ */
    u32 tenant;      /* TENANT_ */
    u32 lanes;       /* at least 1 */
    u32 ethernet;    /* whether frames that are sent have an Ethernet header */
    u32 tunnels;     /* whether an XDP program takes tunnels only */
    u32 vxlan[4];    /* UDP ports; 0 is none */
    u32 geneve[4];
};

SECTION(".rodata") const volatile struct settings SETTINGS;

/* 0, which the verifier does not know: with counts that begin with it, it does not follow each of them apart. */
SECTION(".bss") volatile u32 ZERO;

enum { BY_PAIR, BY_FLOW, BY_TENANT, BY_SUM };
enum { TENANT_NOTHING, TENANT_VNI, TENANT_VLAN, TENANT_KEY };

/* How many IP headers are looked at: that of a packet in a tunnel in a tunnel is the third. */
#define LEVELS 3
#define TAGS 3
#define LABELS 8
#define EXTENSIONS 6
/* Each level: a link layer, tags, labels or PPP, IP, extension headers, what the packet carries. */
#define ROUNDS (LEVELS * (1 + TAGS + 1 + LABELS + 1 + EXTENSIONS + 2))

enum state { AT_LINK, AT_KIND, AT_LABEL, AT_IP, AT_EXTENSION, AT_CONTENT, FOUND };

struct walk {
    u32 at;         /* where the next header is */
    u32 end;        /* how many bytes there are */
    u32 state;
    u32 kind;       /* the Ethertype or IP protocol that was announced */
    u32 level;      /* of IP headers */
    u32 tags;       /* passed at this level; also labels, and extension headers */
    u32 tenant;
    u32 source;     /* of the innermost packet: its folded addresses */
    u32 destination;
    u32 sum;        /* of the last words of its addresses */
    u32 ports;      /* source and destination, or 0 */
    u32 has_ip;
};

#define FOLD 0x9e3779b1u
#define PORT 0x85ebca77u
#define TENANT 0xc2b2ae3du
#define MAPPED (FOLD * 0xffffu)

INLINE u32 mix(u32 x)
{
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

INLINE u32 fold(const u8 *b)
{
    return ((word(b) * FOLD + word(b + 4)) * FOLD + word(b + 8)) * FOLD + word(b + 12);
}

INLINE int enough(const struct walk *w, u32 bytes)
{
    return w->at + bytes <= w->end;
}

/* There is no IP packet at this level: the one around is the innermost. */
INLINE void lost(struct walk *w)
{
    w->state = FOUND;
}

INLINE void next_level(struct walk *w, u32 state)
{
    w->level++;
    w->tags = ZERO;
    w->state = state;
}

INLINE int is_tag(u32 kind)
{
    return kind == 0x8100 || kind == 0x88a8 || kind == 0x9100 || kind == 0x9200;
}

INLINE void link_layer(void *context, struct walk *w)
{
    u8 b[2];

    if (!enough(w, 14 + 20) || LOAD(context, w->at + 12, b, sizeof(b)))
        return lost(w);
    w->kind = half(b);
    w->at += 14;
    w->state = AT_KIND;
}

/* A tag, or what is behind the last. */
INLINE void kind(void *context, struct walk *w)
{
    u8 b[8];

    if (is_tag(w->kind) && w->tags < TAGS) {
        if (!enough(w, 4) || LOAD(context, w->at, b, 4))
            return lost(w);
        /* The first tag of a level names the tenant, unless one beside the frame was in front of it. */
        if (SETTINGS.tenant == TENANT_VLAN && w->tags == 0 && !(w->level == 0 && w->tenant))
            w->tenant = half(b) & 0xfff;
        w->kind = half(b + 2);
        w->at += 4;
        w->tags++;
        return;
    }
    w->tags = ZERO;
    if (w->kind == 0x0800 || w->kind == 0x86dd) {
        w->state = AT_IP;
    } else if (w->kind == 0x8847 || w->kind == 0x8848) {
        w->state = AT_LABEL;
    } else if (w->kind == 0x8864) {
        if (!enough(w, 8) || LOAD(context, w->at, b, 8) || (half(b + 6) != 0x21 && half(b + 6) != 0x57))
            return lost(w);
        w->at += 8;
        w->state = AT_IP;
    } else {
        lost(w);
    }
}

INLINE void label(void *context, struct walk *w)
{
    u8 b[4];

    if (w->tags++ >= LABELS || !enough(w, 4) || LOAD(context, w->at, b, 4))
        return lost(w);
    w->at += 4;
    if (b[2] & 1)
        w->state = AT_IP;
}

INLINE void ip(void *context, struct walk *w)
{
    u8 b[40];

    w->tags = ZERO;
    if (!enough(w, 20) || LOAD(context, w->at, b, 20))
        return lost(w);
    if (b[0] >> 4 == 4) {
        w->source = word(b + 12) + MAPPED;
        w->destination = word(b + 16) + MAPPED;
        w->sum = (u32)half(b + 14) + half(b + 18);
        w->kind = b[9];
        /* More fragments, or not the first. */
        w->state = half(b + 6) & 0x3fff ? FOUND : AT_CONTENT;
        w->at += (b[0] & 15u) * 4;
    } else if (b[0] >> 4 == 6 && enough(w, 40) && !LOAD(context, w->at, b, 40)) {
        w->source = fold(b + 8);
        w->destination = fold(b + 24);
        w->sum = (u32)half(b + 22) + half(b + 38);
        w->kind = b[6];
        w->state = AT_EXTENSION;
        w->at += 40;
    } else {
        return lost(w);
    }
    w->ports = 0;
    w->has_ip = 1;
}

INLINE void extension(void *context, struct walk *w)
{
    u8 b[8];
    u32 len;

    if (w->tags++ >= EXTENSIONS) {
        w->state = AT_CONTENT;
        return;
    }
    if (w->kind == 0 || w->kind == 43 || w->kind == 60 || w->kind == 51) {
        if (!enough(w, 2) || LOAD(context, w->at, b, 2))
            return lost(w);
        len = w->kind == 51 ? (b[1] + 2u) * 4 : (b[1] + 1u) * 8;
    } else if (w->kind == 44) {
        /* A fragment that is the whole packet is passed (RFC 6946). */
        if (!enough(w, 8) || LOAD(context, w->at, b, 8) || half(b + 2) & 0xfff9)
            return lost(w);
        len = 8;
    } else {
        w->state = AT_CONTENT;
        return;
    }
    w->kind = b[0];
    w->at += len;
}

INLINE int is_one_of(const volatile u32 ports[4], u32 port)
{
    return port && (port == ports[0] || port == ports[1] || port == ports[2] || port == ports[3]);
}

/* A tunnel over UDP, told by its port, the receiver's first. */
INLINE void udp(void *context, struct walk *w)
{
    u8 b[16];
    u32 from, to;
    int vxlan, geneve;

    w->state = FOUND;
    if (!enough(w, 4) || LOAD(context, w->at, b, 4))
        return;
    w->ports = word(b);
    if (w->level + 1 >= LEVELS || !enough(w, 16) || LOAD(context, w->at, b, 16))
        return;
    from = half(b);
    to = half(b + 2);
    vxlan = is_one_of(SETTINGS.vxlan, to);
    geneve = !vxlan && is_one_of(SETTINGS.geneve, to);
    if (!vxlan && !geneve) {
        vxlan = is_one_of(SETTINGS.vxlan, from);
        geneve = !vxlan && is_one_of(SETTINGS.geneve, from);
    }
    if (vxlan ? !(b[8] & 8) : !geneve || b[8] & 0xc0)
        return;
    if (SETTINGS.tenant == TENANT_VNI)
        w->tenant = word(b + 12) >> 8;
    if (vxlan) {
        w->at += 16;
        return next_level(w, AT_LINK);
    }
    w->kind = half(b + 10);
    if (w->kind != 0x6558 && w->kind != 0x0800 && w->kind != 0x86dd) {
        w->kind = 17;
        return;
    }
    w->at += 16 + (b[8] & 0x3fu) * 4;
    next_level(w, w->kind == 0x6558 ? AT_LINK : AT_IP);
}

INLINE void gre(void *context, struct walk *w)
{
    u8 b[16];
    u32 flags, kind;

    w->state = FOUND;
    if (!enough(w, 4) || LOAD(context, w->at, b, 4))
        return;
    flags = half(b);
    kind = half(b + 2);
    /* Version 1 is PPTP's; a routing field would have to be walked over, and no RFC defines the other flags. */
    if (flags & 0x407f)
        return;
    w->at += flags & 0x8000 ? 8 : 4;
    if (flags & 0x2000) {
        if (SETTINGS.tenant == TENANT_KEY) {
            if (!enough(w, 4) || LOAD(context, w->at, b, 4))
                return;
            w->tenant = word(b);
        }
        w->at += 4;
    }
    w->at += flags & 0x1000 ? 4 : 0;
    w->at += flags & 0x0080 ? 4 : 0;
    if (kind == 0x22eb) {
        if (!enough(w, 12) || LOAD(context, w->at, b, 12))
            return;
        w->at += b[11] & 1 ? 20 : 12;
        return next_level(w, AT_LINK);
    }
    /* Type I of ERSPAN has no header and no sequence number. */
    if (kind == 0x88be)
        w->at += flags & 0x1000 ? 8 : 0;
    w->kind = kind;
    next_level(w, kind == 0x6558 || kind == 0x88be ? AT_LINK : AT_KIND);
}

/* An ICMP error, by flow: the packet that it quotes is the one found. Its extension headers are not passed. */
INLINE void icmp(void *context, struct walk *w)
{
    u8 b[48], type;
    u32 ports;
    int v4 = w->kind == 1;

    if (!enough(w, 8) || LOAD(context, w->at, b, 4))
        return;
    type = b[0];
    if (v4 ? type != 3 && type != 4 && type != 5 && type != 11 && type != 12 : type < 1 || type > 4)
        return;
    w->at += 8;
    if (!enough(w, v4 ? 24 : 44) || LOAD(context, w->at, b, v4 ? 20 : 40) || b[0] >> 4 != (v4 ? 4 : 6))
        return;
    if (v4) {
        w->source = word(b + 12) + MAPPED;
        w->destination = word(b + 16) + MAPPED;
        if (half(b + 6) & 0x1fff)
            return;
        w->at += (b[0] & 15u) * 4;
    } else {
        w->source = fold(b + 8);
        w->destination = fold(b + 24);
        w->at += 40;
    }
    ports = v4 ? b[9] : b[6];
    if ((ports == 6 || ports == 17) && enough(w, 4) && !LOAD(context, w->at, b, 4))
        w->ports = word(b);
}

INLINE void content(void *context, struct walk *w)
{
    u8 b[4];

    w->state = FOUND;
    if (w->kind == 17) {
        udp(context, w);
    } else if (w->kind == 6) {
        if (enough(w, 4) && !LOAD(context, w->at, b, 4))
            w->ports = word(b);
    } else if ((w->kind == 1 || w->kind == 58) && SETTINGS.by == BY_FLOW) {
        icmp(context, w);
    } else if (w->level + 1 < LEVELS) {
        if (w->kind == 4 || w->kind == 41)
            next_level(w, AT_IP);
        else if (w->kind == 47)
            gre(context, w);
    }
}

/* Passes one header. */
INLINE void round(void *context, struct walk *w)
{
    switch (w->state) {
    case AT_LINK:
        return link_layer(context, w);
    case AT_KIND:
        return kind(context, w);
    case AT_LABEL:
        return label(context, w);
    case AT_IP:
        return ip(context, w);
    case AT_EXTENSION:
        return extension(context, w);
    default:
        return content(context, w);
    }
}

/* Walks to the innermost packet; `has_ip` tells whether there is one. */
INLINE void walk(void *context, struct walk *w)
{
    w->tags = w->level = ZERO;
    for (u32 i = ZERO; i < ROUNDS && w->state != FOUND; i++)
        round(context, w);
}

/* The hash of the flow that was found. */
INLINE u32 flow_hash(const struct walk *w)
{
    u32 ends = 0;

    if (SETTINGS.by == BY_SUM)
        return w->sum + (SETTINGS.tenant != TENANT_NOTHING ? w->tenant : 0);
    if (SETTINGS.by != BY_TENANT) {
        u32 ports = SETTINGS.by == BY_FLOW ? w->ports : 0;
        ends = mix(w->source + (ports >> 16) * PORT) + mix(w->destination + (ports & 0xffff) * PORT);
    }
    if (SETTINGS.tenant != TENANT_NOTHING)
        ends += w->tenant * TENANT;
    return mix(ends);
}
