/* From a container to another host: wraps a packet, and hands it to the underlay's neighbour. */
#pragma once
#include "inner.h"

/* What is put before the inner IP packet. The outer Ethernet header is the neighbour's matter. */
struct outer4 {
	struct iphdr ip;
	struct udphdr udp;
	struct vxlanhdr vxlan;
	struct ethhdr inner;
};

struct outer6 {
	struct ip6hdr ip;
	struct udphdr udp;
	struct vxlanhdr vxlan;
	struct ethhdr inner;
};

/* Without what the compiler appends. */
#define OUTER4_LEN (__builtin_offsetof(struct outer4, inner) + sizeof(struct ethhdr))
#define OUTER6_LEN (__builtin_offsetof(struct outer6, inner) + sizeof(struct ethhdr))

/* As udp_flow_src_port does, so that a flow has one port on both ways. */
static __always_inline __be16 source_port(struct __sk_buff *skb, const struct network *net)
{
	__u32 hash = bpf_get_hash_recalc(skb);

	hash ^= hash << 16;
	return bpf_htons(net->first_port + (((__u64)hash * net->port_count) >> 32));
}

/* As ip_tunnel_ecn_encap does (RFC 6040, section 4.1, compatibility mode). */
static __always_inline __u8 outer_tos(const struct network *net, const struct inner *in)
{
	__u8 tos = net->tos == TOS_INHERIT ? in->tos : net->tos;
	__u8 ecn = in->tos & ECN_MASK;

	return (tos & ~ECN_MASK) | (ecn == ECN_CE ? ECN_ECT_0 : ecn);
}

static __always_inline __u8 outer_ttl(const struct network *net, const struct inner *in)
{
	return net->ttl ? net->ttl : in->ttl;
}

/* What the UDP checksum covers from its header on. len is of UDP. */
static __always_inline __u64 sum_udp(const struct udphdr *udp, const struct vxlanhdr *vxlan, const struct inner *in)
{
	return (__u64)udp->source + udp->dest + udp->len + vxlan->flags + vxlan->vni + sum_ethernet(&in->ethernet) +
	       in->sum + bpf_htons(IPPROTO_UDP) + udp->len;
}

/* A checksum of 0 means that there is none. */
static __always_inline __u16 checksum(__u64 sum)
{
	__u16 check = ~fold(sum);

	return check ? check : 0xffff;
}

static __always_inline void set_udp(struct udphdr *udp, struct vxlanhdr *vxlan, const struct network *net,
				    __be16 source, __u32 len)
{
	udp->source = source;
	udp->dest = net->port;
	udp->len = bpf_htons(len);
	udp->check = 0;
	vxlan->flags = VXLAN_HAS_VNI;
	vxlan->vni = net->vni;
}

static __always_inline int wrap4(struct __sk_buff *skb, const struct network *net, const struct remote *to,
				 const struct inner *in)
{
	__u32 len = skb->len - sizeof(struct ethhdr) + OUTER4_LEN;
	__be16 source = source_port(skb, net);
	__be16 protocol = ETH_P_IP;
	struct outer4 o = {};

	o.ip.version_ihl = 0x45;
	o.ip.tos = outer_tos(net, in);
	o.ip.tot_len = bpf_htons(len);
	o.ip.ttl = outer_ttl(net, in);
	o.ip.protocol = IPPROTO_UDP;
	o.ip.saddr = net->local.word[3];
	o.ip.daddr = to->vtep.word[3];
	if (net->df == DF_SET || (net->df == DF_INHERIT && in->df))
		o.ip.frag_off = IP_DF;
	else
		o.ip.id = bpf_get_prandom_u32(); /* somebody on the way may cut it up */
	o.ip.check = ~fold(sum_ip4(&o.ip));
	set_udp(&o.udp, &o.vxlan, net, source, len - sizeof(o.ip));
	if (net->flags & NETWORK_CHECKSUM)
		o.udp.check = checksum(sum_udp(&o.udp, &o.vxlan, in) + o.ip.saddr + o.ip.daddr);
	o.inner = in->ethernet;
	if (bpf_skb_adjust_room(skb, OUTER4_LEN, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
					BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |
					BPF_F_ADJ_ROOM_NO_CSUM_RESET |
					BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr))))
		return -1;
	bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, protocol), &protocol, sizeof(protocol), 0);
	bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &o, OUTER4_LEN, 0);
	return 0;
}

static __always_inline int wrap6(struct __sk_buff *skb, const struct network *net, const struct remote *to,
				 const struct inner *in)
{
	__u32 len = skb->len - sizeof(struct ethhdr) + OUTER6_LEN - sizeof(struct ip6hdr);
	__be16 source = source_port(skb, net);
	__be16 protocol = ETH_P_IPV6;
	struct outer6 o = {};

	o.ip.version_class_label = bpf_htonl(6 << 28 | outer_tos(net, in) << 20);
	o.ip.payload_len = bpf_htons(len);
	o.ip.nexthdr = IPPROTO_UDP;
	o.ip.hop_limit = outer_ttl(net, in);
	__builtin_memcpy(o.ip.saddr, net->local.word, sizeof(o.ip.saddr));
	__builtin_memcpy(o.ip.daddr, to->vtep.word, sizeof(o.ip.daddr));
	set_udp(&o.udp, &o.vxlan, net, source, len);
	if (net->flags & NETWORK_CHECKSUM)
		o.udp.check = checksum(sum_udp(&o.udp, &o.vxlan, in) + sum_words(&net->local) + sum_words(&to->vtep));
	o.inner = in->ethernet;
	if (bpf_skb_adjust_room(skb, OUTER6_LEN, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 |
					BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |
					BPF_F_ADJ_ROOM_NO_CSUM_RESET |
					BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr))))
		return -1;
	bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, protocol), &protocol, sizeof(protocol), 0);
	bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &o, OUTER6_LEN, 0);
	return 0;
}

/* Tells whether a packet, or the longest that it is going to be cut into, fits. What does not is for
 * the bridge to refuse. */
static __always_inline int fits(struct __sk_buff *skb, const struct network *net, const struct inner *in)
{
	if (!skb->gso_size)
		return skb->len - sizeof(struct ethhdr) <= net->mtu;
	return in->header_len && in->header_len + skb->gso_size <= net->mtu &&
	       skb->len + OUTER6_LEN <= 0xffff;
}

/* Tells whether a router of an IPv6 underlay may refuse the packet, since one has lately refused another.
 * The VXLAN device knows how long it may be. Each way takes 1280 bytes (RFC 8200, section 5). */
static __always_inline int is_too_long(struct __sk_buff *skb, const struct inner *in, __u64 now)
{
	__u32 len = skb->gso_size ? in->header_len + skb->gso_size : skb->len - sizeof(struct ethhdr);
	__u64 *until;

	if (len + OUTER6_LEN <= 1280)
		return 0;
	until = narrow_time();
	return until && now < *until;
}

/* Tells whether the outer checksum is known. The kernel cannot be asked to fill it in when it cuts a
 * packet up. A packet may be longer than its IP header says. */
static __always_inline int can_sum(struct __sk_buff *skb, const struct inner *in)
{
	return in->has_sum && !skb->gso_size && skb->len == sizeof(struct ethhdr) + in->packet_len;
}

static __always_inline int is_own(const struct port *port, __u32 index, const struct inner *in)
{
	struct source s = {.address = in->source, .port = index};

	return same_mac(in->ethernet.source, port->mac) && bpf_map_lookup_elem(&sources, &s);
}

static __always_inline int send(struct __sk_buff *skb)
{
	__u32 index = skb->ifindex;
	struct port *port = bpf_map_lookup_elem(&ports, &index);
	const struct network *net;
	struct counters *count;
	struct remote *to;
	struct station s;
	struct inner in;
	struct hop *hop;
	__u64 now;

	if (!port || skb->vlan_present)
		return TCX_NEXT;
	net = &port->network;
	if (net->flags & NETWORK_ENCRYPTED)
		return TCX_NEXT; /* from_encrypted is this port's program, or is about to be */
	if (read_inner(&in, (void *)(long)skb->data, (void *)(long)skb->data_end) ||
	    skb->protocol != in.ethernet.protocol)
		return TCX_NEXT;
	set_station(&s, net->device, in.ethernet.destination);
	to = bpf_map_lookup_elem(&remotes, &s);
	if (!to || !fits(skb, net, &in))
		return TCX_NEXT;
	now = bpf_ktime_get_coarse_ns();
	if (!is_valid(now))
		return TCX_NEXT;
	if (net->flags & NETWORK_IPV6 && is_too_long(skb, &in, now))
		return TCX_NEXT;
	if (net->flags & NETWORK_PORT_SECURITY && !is_own(port, index, &in))
		return TCX_NEXT;
	if (net->flags & NETWORK_CHECKSUM && !can_sum(skb, &in))
		return TCX_NEXT;
	count = counters_of(to->peer);
	if (count) {
		count->sent_packets += packets_in(skb, &in);
		count->sent_bytes += skb->len;
	}
	if (net->flags & NETWORK_IPV6 ? wrap6(skb, net, to, &in) : wrap4(skb, net, to, &in))
		return TCX_NEXT;
	skb->queue_mapping = 0; /* the veth's, not the card's */
	hop = hop_of(to->peer, now);
	if (hop)
		return bpf_redirect_neigh(net->underlay, hop, sizeof(*hop), 0);
	return bpf_redirect_neigh(net->underlay, 0, 0, 0);
}
