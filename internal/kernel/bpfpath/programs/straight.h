/* IP packets of encrypted networks, between a container's port and a WireGuard device, without a VXLAN header.
 *
 * Whatever is not sent so goes as VXLAN inside WireGuard. But what another host has sent so is for
 * straight_receive alone: the firewall drops what it leaves. */
#pragma once
#include "inner.h"

/* How long this host has known both addresses before packets between them go without a VXLAN header. The other host
 * takes them by addresses only, and may not have heard of a new container yet, or of one that has moved. */
#define HEARD_TIME (3ULL * 1000 * 1000 * 1000)

struct straight {
	struct inner in; /* without Ethernet */
	struct address source;
	struct address destination;
};

struct icmp6_type {
	__u8 type;
};

#define ICMPV6_LAST_ERROR 4 /* RFC 4443 */
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

/* Neighbours and groups of IPv6 are the bridge's matter, as are those of IPv4. */
static __always_inline int is_straight_icmp6(void *at, void *end)
{
	struct icmp6_type *icmp = at;

	if ((void *)(icmp + 1) > end)
		return 0;
	return icmp->type <= ICMPV6_LAST_ERROR || icmp->type == ICMPV6_ECHO_REQUEST || icmp->type == ICMPV6_ECHO_REPLY;
}

/* Headers that ICMPv6 may be behind. */
static __always_inline int is_extension(__u8 next_header)
{
	switch (next_header) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case IPPROTO_HIP:
	case IPPROTO_SHIM6:
		return 1;
	}
	return 0;
}

struct frag6hdr {
	__u8 nexthdr;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

/* Any protocol but IGMP, and fragments. */
static __always_inline int read_straight4(struct straight *p, void *at, void *end)
{
	struct iphdr *ip = at;

	if ((void *)(ip + 1) > end || ip->version_ihl >> 4 != 4)
		return -1;
	p->in.ip = ip;
	p->in.ip_len = (ip->version_ihl & 15) * 4;
	p->in.packet_len = bpf_ntohs(ip->tot_len);
	if (p->in.ip_len < sizeof(*ip) || p->in.packet_len < p->in.ip_len || ip->protocol == IPPROTO_IGMP)
		return -1;
	set_ip4(&p->source, ip->saddr);
	set_ip4(&p->destination, ip->daddr);
	p->in.is_fragment = !!(ip->frag_off & IP_FRAGMENT);
	p->in.protocol = ip->protocol;
	return 0;
}

/* What has no extension header but that of a fragment. */
static __always_inline int read_straight6(struct straight *p, void *at, void *end)
{
	struct ip6hdr *ip = at;
	struct frag6hdr *fragment = (void *)(ip + 1);

	if ((void *)(ip + 1) > end || bpf_ntohl(ip->version_class_label) >> 28 != 6)
		return -1;
	if (is_ip4(ip->saddr) || is_ip4(ip->daddr))
		return -1;
	set_ip6(&p->source, ip->saddr);
	set_ip6(&p->destination, ip->daddr);
	p->in.ip = ip;
	p->in.ip_len = sizeof(*ip);
	p->in.packet_len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->in.is_fragment = 0;
	p->in.protocol = ip->nexthdr; /* of a fragment it is IPPROTO_FRAGMENT: no headers for header_len */
	if (ip->nexthdr == IPPROTO_FRAGMENT) {
		if ((void *)(fragment + 1) > end || fragment->nexthdr == IPPROTO_ICMPV6)
			return -1;
		return is_extension(fragment->nexthdr) ? -1 : 0;
	}
	if (is_extension(ip->nexthdr))
		return -1;
	if (ip->nexthdr == IPPROTO_ICMPV6)
		return is_straight_icmp6(ip + 1, end) ? 0 : -1;
	return 0;
}

/* Reads an IP packet. It returns 0 if it may go without a VXLAN header. */
static __always_inline int read_straight(struct straight *p, __be16 protocol, void *at, void *end)
{
	if (protocol == ETH_P_IP)
		return read_straight4(p, at, end);
	if (protocol == ETH_P_IPV6)
		return read_straight6(p, at, end);
	return -1;
}

static __always_inline struct owner *owner_of(__u32 device, const struct address *address)
{
	struct place p = {.address = *address, .device = device};

	return bpf_map_lookup_elem(&addresses, &p);
}

/* The clock of now is coarse, so it may be behind that of an entry which has just been written. */
static __always_inline int has_heard(const struct owner *o, __u64 now)
{
	return now >= o->since + HEARD_TIME;
}

/* Tells whether a packet may be sent: both addresses are those of the containers that have the MACs, and the other
 * host takes it. WireGuard lets no other source through there. So a container also sends as itself only. */
static __always_inline int is_between(const struct port *port, const struct ethhdr *eth, const struct remote *to,
				      const struct straight *p)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 device = port->network.device;
	struct place host = {.address = to->vtep, .device = device};
	struct owner *here, *there;

	if (!same_mac(eth->source, port->mac))
		return 0;
	here = owner_of(device, &p->source);
	if (!here || !is_zero(&here->vtep) || !same_mac(here->mac, port->mac) || !has_heard(here, now))
		return 0;
	there = owner_of(device, &p->destination);
	if (!there || !same_address(&there->vtep, &to->vtep) || !same_mac(there->mac, eth->destination) ||
	    !has_heard(there, now))
		return 0;
	return !!bpf_map_lookup_elem(&takers, &host);
}

/* Tells whether a packet, without its Ethernet header, or the longest of an aggregate's, fits. An IP header may tell
 * another length than the packet has. WireGuard cuts off what is too much. */
static __always_inline int fits_straight(struct __sk_buff *skb, const struct straight *p, void *end, __u32 len,
					 __u32 mtu)
{
	__u32 headers;

	if (len != p->in.packet_len)
		return 0;
	if (!skb->gso_size)
		return len <= mtu;
	headers = header_len(&p->in, end);
	return headers && headers + skb->gso_size <= mtu;
}

static __always_inline int straight_send(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	__u32 index = skb->ifindex, device, *wireguard_device;
	struct port *port = bpf_map_lookup_elem(&ports, &index);
	struct counters *count;
	struct straight p;
	struct remote *to;
	struct station s;

	if (!port || !(port->network.flags & NETWORK_ENCRYPTED) || skb->vlan_present)
		return TCX_NEXT;
	if ((void *)(eth + 1) > end || skb->protocol != eth->protocol || read_straight(&p, eth->protocol, eth + 1, end))
		return TCX_NEXT;
	device = port->network.device;
	set_station(&s, device, eth->destination);
	to = bpf_map_lookup_elem(&remotes, &s);
	if (!to || !fits_straight(skb, &p, end, skb->len - sizeof(*eth), port->network.mtu))
		return TCX_NEXT;
	if (!is_valid() || !is_between(port, eth, to, &p))
		return TCX_NEXT;
	wireguard_device = bpf_map_lookup_elem(&wireguard, &device);
	if (!wireguard_device)
		return TCX_NEXT;
	count = counters_of(to->peer);
	if (count) {
		count->sent_packets += packets_in(skb, &p.in, end);
		count->sent_bytes += skb->len;
	}
	skb->queue_mapping = 0; /* the veth's */
	return bpf_redirect(*wireguard_device, 0);
}

/* Of the longest headers that are read: IPv6 and TCP, or IPv4 with options and TCP. */
#define STRAIGHT_HEADERS (60 + sizeof(struct tcphdr))

/* The kernel need not have left headers where a program can read them. */
static __always_inline void pull_straight(struct __sk_buff *skb)
{
	__u32 len = skb->len < STRAIGHT_HEADERS ? skb->len : STRAIGHT_HEADERS;

	if (skb->data_end - skb->data < len)
		bpf_skb_pull_data(skb, len);
}

/* Puts an Ethernet header before a packet. */
static __always_inline int put_ethernet(struct __sk_buff *skb, const struct owner *to, const struct owner *from)
{
	struct ethhdr eth;

	__builtin_memcpy(eth.destination, to->mac, ETH_ALEN);
	__builtin_memcpy(eth.source, from->mac, ETH_ALEN);
	eth.protocol = skb->protocol;
	if (bpf_skb_change_head(skb, sizeof(eth), 0))
		return -1;
	bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
	return 0;
}

static __always_inline void count_received(struct __sk_buff *skb, const struct station *from, __u32 packets)
{
	struct remote *sender = bpf_map_lookup_elem(&remotes, from);
	struct counters *count = counters_of(sender ? sender->peer : 0);

	if (count) {
		count->received_packets += packets;
		count->received_bytes += skb->len;
	}
}

/* Takes what has come by WireGuard, which has checked that the source is one of the sending host's. It does so
 * whether an agent is there or not: other hosts send as long as they have not heard that this one takes nothing. */
static __always_inline int straight_receive(struct __sk_buff *skb)
{
	__u32 index = skb->ifindex, device, packets, *port;
	struct wireguard_end *here = bpf_map_lookup_elem(&wireguard_ends, &index);
	struct owner *from, *to;
	struct straight p;
	struct station s;
	void *end;

	if (!here)
		return TCX_NEXT;
	pull_straight(skb);
	end = (void *)(long)skb->data_end;
	if (read_straight(&p, skb->protocol, (void *)(long)skb->data, end))
		return TCX_NEXT;
	device = here->device;
	from = owner_of(device, &p.source);
	to = owner_of(device, &p.destination);
	if (!from || is_zero(&from->vtep) || !to || !is_zero(&to->vtep) ||
	    !fits_straight(skb, &p, end, skb->len, here->mtu))
		return TCX_NEXT;
	packets = packets_in(skb, &p.in, end);
	if (put_ethernet(skb, to, from))
		return TCX_NEXT;
	set_station(&s, device, from->mac);
	count_received(skb, &s, packets);
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	skb->mark = 0; /* the host's marks are no container's matter */
	set_station(&s, device, to->mac);
	port = bpf_map_lookup_elem(&locals, &s);
	if (port && is_valid())
		return bpf_redirect_peer(*port, 0);
	/* As if the VXLAN device had unwrapped it: others do something with the packets of this port. */
	return bpf_redirect(device, BPF_F_INGRESS);
}
