/* From another host to a container. */
#pragma once
#include "inner.h"
#include "send.h"
#include "sum.h"

/* Whether the kernel forgets the tunnel of an aggregate when a program takes its headers off (Linux 7.3). The
 * agent tries, and sets it before it loads the programs. Older ones would take the packet for VXLAN ever after. */
volatile const __u8 takes_aggregates = 0;

/* Takes the outer headers, len bytes behind the Ethernet header, off the packet. */
static __always_inline int unwrap(struct __sk_buff *skb, __u32 len, const struct ethhdr *from)
{
	struct ethhdr inner __attribute__((aligned(4)));
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	if (takes_aggregates)
		flags |= BPF_F_ADJ_ROOM_DECAP_L4_UDP;
	copy_ethernet(&inner, from);
	if (skb->protocol != inner.protocol)
		flags |= inner.protocol == ETH_P_IP ? BPF_F_ADJ_ROOM_DECAP_L3_IPV4 : BPF_F_ADJ_ROOM_DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -(__s32)len, BPF_ADJ_ROOM_MAC, flags))
		return -1;
	/* Not by a write of this program's own: then the kernel would first make each packet of the interface writable that
	 * somebody else looks at, whether it is ours or not, and drop it for want of memory. */
	bpf_skb_store_bytes(skb, 0, &inner, sizeof(inner), 0);
	/* What the card says of checksums began with the outer one. The kernel does the same, even if that is 0. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	return 0;
}

/* What the outer headers say. */
struct outer {
	struct address from;
	struct tunnel tunnel;
	__u64 addresses; /* their sum */
	__u32 len;	 /* of all headers but Ethernet's */
	__u8 ecn;
};

/* Tells whether the outer checksum is right. Over IPv6 one must be there, unless all hosts agree that
 * there is none (RFC 6936). That of an aggregate is for the card to complete: the kernel has checked each
 * packet before it put them together, and left the sum of the pseudo header (udp4_gro_complete). */
static __always_inline int has_right_sum(struct __sk_buff *skb, const struct udphdr *udp, const struct inner *in,
					 void *end, const struct outer *o, __u32 flags)
{
	__u64 sum;

	if (!udp->check)
		return !(flags & NETWORK_IPV6 && flags & NETWORK_CHECKSUM);
	if (skb->gso_size)
		return udp->check == fold(o->addresses + bpf_htons(IPPROTO_UDP) + udp->len);
	if (sum_frame(in, end, &sum))
		return 0;
	sum += sum_vxlan((const struct vxlan_words *)udp) + bpf_htons(IPPROTO_UDP) + udp->len + o->addresses;
	return fold(sum) == 0xffff;
}

/* Tells whether the inner packet, or the longest of which an aggregate was made, fits. The bridge passes nothing
 * longer on. An aggregate must be one inner packet: the kernel may also put VXLAN packets themselves together. */
static __always_inline int fits_inside(struct __sk_buff *skb, const struct inner *in, void *end, const struct outer *o,
				       __u32 mtu)
{
	__u32 headers, len = skb->len - o->len - sizeof(struct ethhdr);

	if (!skb->gso_size)
		return len <= mtu;
	headers = header_len(in, end);
	return headers && headers < in->packet_len && in->packet_len == len && headers + skb->gso_size <= mtu;
}

/* Tells whether the mark of congestion is to be copied to the inner packet (RFC 6040, section 4.2).
 * The kernel does. */
static __always_inline int changes_ecn(__u8 outer, __u8 inner)
{
	return outer == ECN_CE || (outer == ECN_ECT_1 && (inner & ECN_MASK) == ECN_ECT_0);
}

/* Passes on what is VXLAN of one of our networks, comes from the host that has the inner sender, and
 * is for a container. */
static __always_inline int receive(struct __sk_buff *skb, struct udphdr *udp, void *end, struct outer *o)
{
	struct vxlanhdr *vxlan = (void *)(udp + 1);
	struct remote *sender;
	struct counters *count;
	struct station s;
	struct inner in;
	struct tunnel_end *here;
	__u32 *port, packets;

	if ((void *)(vxlan + 1) > end || vxlan->flags != VXLAN_HAS_VNI || vxlan->vni & bpf_htonl(0xff))
		return TCX_NEXT;
	o->tunnel.vni = vxlan->vni;
	o->tunnel.port = udp->dest;
	o->tunnel.pad = 0;
	here = bpf_map_lookup_elem(&tunnels, &o->tunnel);
	if (!here || here->underlay != skb->ifindex || !is_valid())
		return TCX_NEXT;
	if (read_inner(&in, vxlan + 1, end) || changes_ecn(o->ecn, in.tos))
		return TCX_NEXT;
	if (!fits_inside(skb, &in, end, o, here->mtu))
		return TCX_NEXT;
	set_station(&s, here->device, in.ethernet->source);
	sender = bpf_map_lookup_elem(&remotes, &s);
	if (!sender || !same_address(&sender->vtep, &o->from))
		return TCX_NEXT;
	set_station(&s, here->device, in.ethernet->destination);
	port = bpf_map_lookup_elem(&locals, &s);
	if (!port)
		return TCX_NEXT;
	if (!has_right_sum(skb, udp, &in, end, o, here->flags))
		return TCX_NEXT;
	packets = packets_in(skb, &in, end);
	if (unwrap(skb, o->len, in.ethernet))
		return TCX_NEXT;
	count = counters_of(sender->peer);
	if (count) {
		count->received_packets += packets;
		count->received_bytes += skb->len;
	}
	skb->mark = 0; /* the host's marks are no container's matter */
	return bpf_redirect_peer(*port, 0);
}

static __always_inline int receive4(struct __sk_buff *skb, void *at, void *end)
{
	struct iphdr *ip = at;
	struct udphdr *udp = (void *)(ip + 1);
	struct outer o;

	if ((void *)(udp + 1) > end || ip->version_ihl != 0x45 || ip->protocol != IPPROTO_UDP ||
	    ip->frag_off & IP_FRAGMENT)
		return TCX_NEXT;
	if (fold(sum_ip4(ip)) != 0xffff)
		return TCX_NEXT;
	if (bpf_ntohs(udp->len) != skb->len - sizeof(struct ethhdr) - sizeof(*ip) ||
	    bpf_ntohs(ip->tot_len) != skb->len - sizeof(struct ethhdr))
		return TCX_NEXT; /* a card pads the shortest, but none of ours is that short */
	set_ip4(&o.from, ip->saddr);
	set_ip4(&o.tunnel.local, ip->daddr);
	o.len = OUTER4_LEN;
	o.ecn = ip->tos & ECN_MASK;
	o.addresses = (__u64)ip->saddr + ip->daddr;
	return receive(skb, udp, end, &o);
}

struct icmp6hdr {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 mtu;
};

#define ICMPV6_PACKET_TOO_BIG 2

/* As long as the kernel remembers it (ip6_rt_mtu_expires). */
#define NARROW_TIME (600ULL * 1000 * 1000 * 1000)

/* Notes that a router has refused a packet of ours. Whoever makes that up makes packets take longer. */
static __always_inline void hear_too_big(struct ip6hdr *ip, void *end)
{
	struct icmp6hdr *icmp = (void *)(ip + 1);
	struct ip6hdr *refused = (void *)(icmp + 1);
	struct udphdr *udp = (void *)(refused + 1);
	struct vxlanhdr *vxlan = (void *)(udp + 1);
	struct tunnel tunnel = {};
	__u64 *until;

	if ((void *)(vxlan + 1) > end || icmp->type != ICMPV6_PACKET_TOO_BIG || refused->nexthdr != IPPROTO_UDP)
		return;
	set_ip6(&tunnel.local, refused->saddr);
	tunnel.vni = vxlan->vni;
	tunnel.port = udp->dest;
	if (!bpf_map_lookup_elem(&tunnels, &tunnel))
		return;
	until = narrow_time();
	if (until)
		*until = bpf_ktime_get_coarse_ns() + NARROW_TIME;
}

static __always_inline int receive6(struct __sk_buff *skb, void *at, void *end)
{
	struct ip6hdr *ip = at;
	struct udphdr *udp = (void *)(ip + 1);
	struct outer o;

	if ((void *)(udp + 1) > end || bpf_ntohl(ip->version_class_label) >> 28 != 6)
		return TCX_NEXT;
	if (ip->nexthdr == IPPROTO_ICMPV6)
		hear_too_big(ip, end);
	if (ip->nexthdr != IPPROTO_UDP || is_ip4(ip->saddr))
		return TCX_NEXT;
	if (ip->payload_len != udp->len || bpf_ntohs(udp->len) != skb->len - sizeof(struct ethhdr) - sizeof(*ip))
		return TCX_NEXT;
	set_ip6(&o.from, ip->saddr);
	set_ip6(&o.tunnel.local, ip->daddr);
	o.len = OUTER6_LEN;
	o.ecn = (bpf_ntohl(ip->version_class_label) >> 20) & ECN_MASK;
	o.addresses = sum_words(&o.from) + sum_words(&o.tunnel.local);
	return receive(skb, udp, end, &o);
}

/* Headers of a short packet: the longest outer ones, and inner IPv6 and TCP. */
#define ALL_HEADERS (sizeof(struct ethhdr) + OUTER6_LEN + sizeof(struct ip6hdr) + sizeof(struct tcphdr))

/* A card may leave headers where a program cannot read them. Who has made an aggregate has read its headers, and
 * pulled them. What follows must stay where it is, as the kernel may have to cut it up. */
static __always_inline void pull_headers(struct __sk_buff *skb)
{
	if (skb->gso_size)
		return;
	if ((long)skb->data_end - (long)skb->data < (long)ALL_HEADERS && skb->len > skb->data_end - skb->data)
		bpf_skb_pull_data(skb, skb->len < ALL_HEADERS ? skb->len : ALL_HEADERS);
}
