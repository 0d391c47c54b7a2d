/* From a container to another host: wraps a packet, and hands it to the underlay's neighbour. */
#pragma once
#include "inner.h"
#include "sum.h"

/* What is put between the outer Ethernet header, whose addresses are the neighbour's matter, and the inner IP packet. It
 * is built of words, which takes fewer stores than field by field. */
struct outer4 {
	__be32 version_tos_len;
	__be32 id_fragment;
	__be32 ttl_protocol_check;
	__be32 saddr;
	__be32 daddr;
	struct vxlan_words vxlan;
	struct ethhdr inner;
};

struct outer6 {
	__be32 version_class_label;
	__be32 len_next_hop;
	__be32 saddr[4];
	__be32 daddr[4];
	struct vxlan_words vxlan;
	struct ethhdr inner;
};

/* Without what the compiler appends. */
#define OUTER4_LEN (__builtin_offsetof(struct outer4, inner) + sizeof(struct ethhdr))
#define OUTER6_LEN (__builtin_offsetof(struct outer6, inner) + sizeof(struct ethhdr))

/* As udp_flow_src_port does, so that a flow has one port on both ways. */
static __always_inline __u32 source_port(struct __sk_buff *skb, const struct network *net)
{
	__u32 hash = bpf_get_hash_recalc(skb);

	hash ^= hash << 16;
	return net->first_port + (((__u64)hash * net->port_count) >> 32);
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

/* UDP and VXLAN. len is of UDP, and sum of the frame inside and of both outer addresses. */
static __always_inline void set_vxlan(struct vxlan_words *w, const struct network *net, __u32 source, __u32 len,
				      __u64 sum)
{
	w->ports = bpf_htonl(source << 16 | bpf_ntohs(net->port));
	w->len_check = bpf_htonl(len << 16);
	w->flags = VXLAN_HAS_VNI;
	w->vni = net->vni;
	if (net->flags & NETWORK_CHECKSUM) {
		sum += sum_vxlan(w) + bpf_htons(IPPROTO_UDP) + bpf_htons(len);
		w->len_check |= bpf_htonl(bpf_ntohs(checksum(sum)));
	}
}

/* Makes room for len bytes of headers, of which the last are a copy of the Ethernet header. It returns where the room
 * begins, or 0: then verdict is what the program returns. */
static __always_inline void *make_room(struct __sk_buff *skb, __u32 len, __u64 encap_ip, __be16 type, int *verdict)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
		      BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)) | encap_ip;
	struct ethhdr *outer, *inner;

	*verdict = TCX_NEXT;
	if (bpf_skb_adjust_room(skb, len, BPF_ADJ_ROOM_MAC, flags))
		return 0;
	outer = (void *)(long)skb->data;
	inner = (void *)outer + len;
	*verdict = TCX_DROP; /* It cannot happen: the check is for the verifier. */
	if ((void *)(inner + 1) > (void *)(long)skb->data_end)
		return 0;
	copy_ethernet(inner, outer);
	outer->protocol = type;
	return outer + 1;
}

/* Both functions that wrap return 0, or what the program returns. sum is of the frame inside, where there is an outer
 * checksum. */
static __always_inline int wrap4(struct __sk_buff *skb, const struct network *net, const struct remote *to,
				 const struct inner *in, __u64 sum)
{
	__u32 len = skb->len - sizeof(struct ethhdr) + OUTER4_LEN;
	__u32 source = source_port(skb, net);
	__be32 local = net->local.word[3], vtep = to->vtep.word[3];
	struct outer4 *o;
	int verdict;

	o = make_room(skb, OUTER4_LEN, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, ETH_P_IP, &verdict);
	if (!o)
		return verdict;
	o->version_tos_len = bpf_htonl(0x45 << 24 | outer_tos(net, in) << 16 | len);
	if (net->df == DF_SET || (net->df == DF_INHERIT && in->df))
		o->id_fragment = bpf_htonl(bpf_ntohs(IP_DF));
	else
		o->id_fragment = bpf_htonl(bpf_get_prandom_u32() << 16); /* somebody on the way may cut it up */
	o->ttl_protocol_check = bpf_htonl((__u32)outer_ttl(net, in) << 24 | IPPROTO_UDP << 16);
	o->ttl_protocol_check |= bpf_htonl(bpf_ntohs(
		~fold((__u64)o->version_tos_len + o->id_fragment + o->ttl_protocol_check + local + vtep)));
	o->saddr = local;
	o->daddr = vtep;
	set_vxlan(&o->vxlan, net, source, len - sizeof(struct iphdr), sum + local + vtep);
	return 0;
}

static __always_inline int wrap6(struct __sk_buff *skb, const struct network *net, const struct remote *to,
				 const struct inner *in, __u64 sum)
{
	__u32 len = skb->len - sizeof(struct ethhdr) + OUTER6_LEN - sizeof(struct ip6hdr);
	__u32 source = source_port(skb, net);
	struct outer6 *o;
	int verdict;

	o = make_room(skb, OUTER6_LEN, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, ETH_P_IPV6, &verdict);
	if (!o)
		return verdict;
	o->version_class_label = bpf_htonl(6 << 28 | outer_tos(net, in) << 20);
	o->len_next_hop = bpf_htonl(len << 16 | IPPROTO_UDP << 8 | outer_ttl(net, in));
	for (int i = 0; i < 4; i++) {
		o->saddr[i] = net->local.word[i];
		o->daddr[i] = to->vtep.word[i];
	}
	set_vxlan(&o->vxlan, net, source, len, sum + sum_words(&net->local) + sum_words(&to->vtep));
	return 0;
}

/* Tells whether a packet, or the longest that it is going to be cut into, fits. What does not is for
 * the bridge to refuse. */
static __always_inline int fits(struct __sk_buff *skb, const struct network *net, const struct inner *in, void *end)
{
	__u32 headers;

	if (!skb->gso_size)
		return skb->len - sizeof(struct ethhdr) <= net->mtu;
	headers = header_len(in, end);
	return headers && headers + skb->gso_size <= net->mtu && skb->len + OUTER6_LEN <= 0xffff;
}

/* Tells whether a router of an IPv6 underlay may refuse the packet, since one has lately refused another.
 * The VXLAN device knows how long it may be. Each way takes 1280 bytes (RFC 8200, section 5). */
static __always_inline int is_too_long(struct __sk_buff *skb, const struct inner *in, void *end)
{
	__u32 len = skb->gso_size ? header_len(in, end) + skb->gso_size : skb->len - sizeof(struct ethhdr);
	__u64 *until;

	if (len + OUTER6_LEN <= 1280)
		return 0;
	until = narrow_time();
	return until && bpf_ktime_get_coarse_ns() < *until;
}

/* Tells the sum of the frame inside, for the outer checksum, and returns 0 if it is known. The kernel cannot be asked
 * to fill it in when it cuts a packet up. A packet may be longer than its IP header says. */
static __always_inline int sum_whole(struct __sk_buff *skb, const struct inner *in, void *end, __u64 *sum)
{
	if (skb->gso_size || skb->len != sizeof(struct ethhdr) + in->packet_len)
		return -1;
	return sum_frame(in, end, sum);
}

static __always_inline int is_own(const struct port *port, __u32 index, const struct inner *in, void *end)
{
	struct source s = {.port = index};
	struct ip6hdr *ip6 = in->ip;

	if (in->ethernet->protocol == ETH_P_IP)
		set_ip4(&s.address, ((struct iphdr *)in->ip)->saddr);
	else if ((void *)(ip6 + 1) <= end)
		set_ip6(&s.address, ip6->saddr);
	return same_mac(in->ethernet->source, port->mac) && bpf_map_lookup_elem(&sources, &s);
}

static __always_inline int send(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	__u32 index = skb->ifindex;
	struct port *port = bpf_map_lookup_elem(&ports, &index);
	const struct network *net;
	struct counters *count;
	__u32 packets, len = skb->len;
	struct remote *to;
	struct station s;
	struct inner in;
	__u64 sum = 0;
	struct hop *hop;
	int verdict;

	if (!port || skb->vlan_present)
		return TCX_NEXT;
	net = &port->network;
	if (net->flags & NETWORK_ENCRYPTED)
		return TCX_NEXT; /* from_encrypted is this port's program, or is about to be */
	if (read_inner(&in, (void *)(long)skb->data, end) || skb->protocol != in.ethernet->protocol)
		return TCX_NEXT;
	set_station(&s, net->device, in.ethernet->destination);
	to = bpf_map_lookup_elem(&remotes, &s);
	if (!to || !fits(skb, net, &in, end) || !is_valid())
		return TCX_NEXT;
	if (net->flags & NETWORK_IPV6 && is_too_long(skb, &in, end))
		return TCX_NEXT;
	if (net->flags & NETWORK_PORT_SECURITY && !is_own(port, index, &in, end))
		return TCX_NEXT;
	if (net->flags & NETWORK_CHECKSUM && sum_whole(skb, &in, end, &sum))
		return TCX_NEXT;
	packets = packets_in(skb, &in, end);
	verdict = net->flags & NETWORK_IPV6 ? wrap6(skb, net, to, &in, sum) : wrap4(skb, net, to, &in, sum);
	if (verdict)
		return verdict;
	count = counters_of(to->peer);
	if (count) {
		count->sent_packets += packets;
		count->sent_bytes += len;
	}
	skb->queue_mapping = 0; /* the veth's, not the card's */
	hop = hop_of(to->peer);
	if (hop)
		return bpf_redirect_neigh(net->underlay, hop, sizeof(*hop), 0);
	return bpf_redirect_neigh(net->underlay, 0, 0, 0);
}
