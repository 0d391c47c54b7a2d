/* The tables. The agent fills them; the programs only read them, and count.
 *
 * IPv4 addresses are the last four bytes of an address of sixteen, as in ::ffff:10.0.0.1. */
#pragma once
#include "kernel.h"

#define MAX_NETWORKS 4096
#define MAX_CONTAINERS 8192 /* of this host */
#define MAX_REMOTES 131072
#define MAX_PEERS 4096 /* pairs of a network and another host */
#define MAX_ADDRESSES 131072 /* of containers on encrypted networks, here and on other hosts */

struct address {
	__be32 word[4];
};

/* How a network's packets are wrapped: the VXLAN device's own attributes. */
struct network {
	struct address local; /* VTEP of this host */
	__u32 device;	      /* index of the VXLAN device */
	__u32 underlay;	      /* index of the underlay interface */
	__be32 vni;	      /* in the upper 24 bits, as in a VXLAN header */
	__be16 port;
	__u16 mtu;	  /* of the longest inner IP packet */
	__u16 first_port; /* of the outer source ports */
	__u16 port_count; /* one less than there are, as the kernel counts */
	__u8 ttl;	  /* 0: the inner packet's */
	__u8 tos;	  /* 1: the inner packet's */
	__u8 df;	  /* enum ifla_vxlan_df */
	__u8 flags;
};

/* of struct network */
#define NETWORK_IPV6 1	       /* the underlay is IPv6 */
#define NETWORK_PORT_SECURITY 2 /* ports send from their own addresses only */
#define NETWORK_CHECKSUM 4	       /* outer packets have a checksum */
#define NETWORK_ENCRYPTED 8	       /* packets leave by WireGuard only */

#define DF_SET 1
#define DF_INHERIT 2
#define TOS_INHERIT 1

/* A container's port, by its index. */
struct port {
	struct network network;
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CONTAINERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct port);
} ports SEC(".maps");

/* An address that a port may send from, where its network has port security. */
struct source {
	struct address address;
	__u32 port;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CONTAINERS * 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source);
	__type(value, __u32);
} sources SEC(".maps");

/* A MAC on a network. The plugin deletes entries by this key, so its layout must stay. */
struct station {
	__u32 device; /* index of the network's VXLAN device */
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

/* A container of another host. */
struct remote {
	struct address vtep;
	__u32 peer; /* index of its host's counters on this network */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_REMOTES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct station);
	__type(value, struct remote);
} remotes SEC(".maps");

/* Containers of this host: the index of the port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CONTAINERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct station);
	__type(value, __u32);
} locals SEC(".maps");

/* What the packets of a network have in their outer headers. */
struct tunnel {
	struct address local;
	__be32 vni; /* as in struct network */
	__be16 port;
	__u16 pad;
};

/* The network that they are of. */
struct tunnel_end {
	__u32 device;	/* index of its VXLAN device */
	__u32 underlay; /* index of the interface by which its packets come */
	__u32 flags;	/* of struct network */
	__u32 mtu;	/* of struct network */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NETWORKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tunnel);
	__type(value, struct tunnel_end);
} tunnels SEC(".maps");

/* Where packets to another host leave the underlay interface for: struct bpf_redir_neigh. Family 0 lets
 * the kernel look up the route of each packet. By struct remote's peer. */
struct hop {
	__u32 family;
	__be32 address[4]; /* IPv4 is the first word */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_PEERS);
	__type(key, __u32);
	__type(value, struct hop);
} hops SEC(".maps");

/* Until when hops are right, in jiffies, which a program reads without a call. The agent says so while it hears of changes
 * of routes: without it the kernel looks them up again. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} hops_jiffies SEC(".maps");

/* Returns the next hop, or 0 if it is not known. */
static __always_inline struct hop *hop_of(__u32 peer)
{
	__u32 first = 0;
	__u64 *until = bpf_map_lookup_elem(&hops_jiffies, &first);
	struct hop *hop;

	if (!until || bpf_jiffies64() >= *until)
		return 0;
	hop = bpf_map_lookup_elem(&hops, &peer);
	return hop && hop->family ? hop : 0;
}

/* Until when the programs may take packets, in jiffies. The agent says so while it looks for what packets must not be led
 * around, such as IPsec. Without it they take the other ways. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} valid_jiffies SEC(".maps");

static __always_inline int is_valid(void)
{
	__u32 first = 0;
	__u64 *until = bpf_map_lookup_elem(&valid_jiffies, &first);

	return until && bpf_jiffies64() < *until;
}

/* Until when IPv6 packets to other hosts may be too long for the way, in nanoseconds since the machine's
 * start. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} narrow_until SEC(".maps");

static __always_inline __u64 *narrow_time(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&narrow_until, &first);
}

/* The WireGuard device by which the packets of an encrypted network leave, by the index of its VXLAN device. One
 * write leads all of them to the device with the next key.
 *
 * The kernel deletes an entry together with its device, before another one can have its index. So no packet
 * leaves by that, where it would be in plaintext. Programs cannot write the entries of such a table. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, MAX_NETWORKS);
	__type(key, __u32);
	__type(value, __u32);
} wireguard SEC(".maps");

/* The network whose packets come by a WireGuard device. */
struct wireguard_end {
	__u32 device; /* index of the VXLAN device */
	__u32 mtu;    /* of struct network */
};

/* By the index of the WireGuard device. A network has two while its keys change. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NETWORKS * 2);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct wireguard_end);
} wireguard_ends SEC(".maps");

/* An address on an encrypted network: a container's, or another host's VTEP. */
struct place {
	struct address address;
	__u32 device; /* index of the network's VXLAN device */
};

/* The container that has an address. */
struct owner {
	__u64 since;	     /* when this host has learned of it, in nanoseconds since the machine's start */
	struct address vtep; /* of its host; zero: this one */
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct place);
	__type(value, struct owner);
} addresses SEC(".maps");

/* VTEPs of hosts that take IP packets without a VXLAN header. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PEERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct place);
	__type(value, __u32);
} takers SEC(".maps");

struct counters {
	__u64 sent_packets;
	__u64 sent_bytes; /* of inner frames */
	__u64 received_packets;
	__u64 received_bytes;
	__u64 unwrapped_packets; /* received, too: the VXLAN device had unwrapped and counted them */
	__u64 unwrapped_bytes;
};

/* By struct remote's peer. 0 is for hosts that have no counters of their own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_PEERS);
	__type(key, __u32);
	__type(value, struct counters);
} counts SEC(".maps");

/* What was counted of hosts that have left a network, by the index of its VXLAN device. It is the agent's:
 * the next one goes on from there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NETWORKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct counters);
} former SEC(".maps");

static __always_inline struct counters *counters_of(__u32 peer)
{
	return bpf_map_lookup_elem(&counts, &peer);
}

static __always_inline void set_station(struct station *s, __u32 device, const __u8 *mac)
{
	s->device = device;
	*(word32 *)s->mac = *(const word32 *)mac;
	/* the last two bytes of the MAC, and pad as 0 */
	*(word32 *)(s->mac + 4) = bpf_htonl((__u32)bpf_ntohs(*(const word16 *)(mac + 4)) << 16);
}

static __always_inline void set_ip4(struct address *a, __be32 ip4)
{
	a->word[0] = 0;
	a->word[1] = 0;
	a->word[2] = bpf_htonl(0xffff);
	a->word[3] = ip4;
}

static __always_inline void set_ip6(struct address *a, const __be32 *ip6)
{
	__builtin_memcpy(a->word, ip6, sizeof(a->word));
}

/* IPv4 addresses of the tables. No packet may have such addresses in an IPv6 header: the kernel drops it, as
 * no filter of IPv4 has seen it. */
static __always_inline int is_ip4(const __be32 *ip6)
{
	return !ip6[0] && !ip6[1] && ip6[2] == bpf_htonl(0xffff);
}

static __always_inline int same_address(const struct address *a, const struct address *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] &&
	       a->word[0] == b->word[0];
}

static __always_inline int is_zero(const struct address *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	return *(const word32 *)a == *(const word32 *)b && *(const word16 *)(a + 4) == *(const word16 *)(b + 4);
}
