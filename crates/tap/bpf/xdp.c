/* Gives frames to the AF_XDP socket of their queue, each with the time in front of it. What there is no socket for, and what the
 * settings leave to the host, goes on to the host. */
#define LOAD(context, at, to, len) xdp_load(context, at, to, len)
#include "walk.h"

SECTION("maps") struct map SOCKETS = {MAP_XSK, sizeof(u32), sizeof(u32), 256, 0};

/* Stands in front of a frame; whoever reads it takes the mark away. */
struct stamp {
    u64 mark;
    u64 time; /* monotonic, in nanoseconds */
};

#define MARK 0x77656972207864d0ull

static long (*const grow_meta)(struct xdp_md *xdp, int by) = (void *)54;

INLINE void stamp(struct xdp_md *xdp)
{
    struct stamp *stamp;

    /* Drivers that have no room for it are read without. */
    if (grow_meta(xdp, -(int)sizeof(*stamp)))
        return;
    stamp = (void *)(u64)xdp->data_meta;
    if ((void *)(stamp + 1) > (void *)(u64)xdp->data)
        return;
    stamp->mark = MARK;
    stamp->time = monotonic();
}

/* Whether the frame is one that is taken: all, or what has a tunnel in it. */
INLINE int is_taken(struct xdp_md *xdp)
{
    struct walk w = {.state = AT_LINK};

    if (!SETTINGS.tunnels)
        return 1;
    w.end = (u32)xdp_len(xdp);
    walk(xdp, &w);
    return w.level > 0;
}

SECTION("xdp.frags") int frames(struct xdp_md *xdp)
{
    if (!is_taken(xdp))
        return XDP_PASS;
    stamp(xdp);
    return (int)redirect_map(&SOCKETS, xdp->rx_queue_index, XDP_PASS);
}

SECTION("license") char LICENSE[] = "Dual MIT/GPL";
