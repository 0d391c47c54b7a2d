/* The frame inside, as far as the programs look at it. */
#pragma once
#include "kernel.h"
#include "maps.h"

struct inner {
	struct ethhdr *ethernet;
	void *ip;	  /* IPv4 or IPv6 */
	__u32 ip_len;	  /* of the IP header */
	__u32 packet_len; /* of the IP packet, as its header says */
	__u8 is_fragment;
	__u8 protocol;
	__u8 tos;
	__u8 ttl;
	__u8 df;
};

/* Other packets are left to the VXLAN device: a ping shows there what it always did. */
static __always_inline int is_taken(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* IPv4 with TCP or UDP, and fragments of these. */
static __always_inline int read_ip4(struct inner *in, void *at, void *end)
{
	struct iphdr *ip = at;

	if ((void *)(ip + 1) > end || ip->version_ihl >> 4 != 4)
		return -1;
	in->ip = ip;
	in->ip_len = (ip->version_ihl & 15) * 4;
	in->packet_len = bpf_ntohs(ip->tot_len);
	if (in->ip_len < sizeof(*ip) || in->packet_len < in->ip_len || !is_taken(ip->protocol))
		return -1;
	in->is_fragment = !!(ip->frag_off & IP_FRAGMENT);
	in->protocol = ip->protocol;
	in->tos = ip->tos;
	in->ttl = ip->ttl;
	in->df = !!(ip->frag_off & IP_DF);
	return 0;
}

/* IPv6 whose header is followed by TCP or UDP. */
static __always_inline int read_ip6(struct inner *in, void *at, void *end)
{
	struct ip6hdr *ip = at;

	if ((void *)(ip + 1) > end || (bpf_ntohl(ip->version_class_label) >> 28) != 6)
		return -1;
	if (!is_taken(ip->nexthdr) || is_ip4(ip->saddr))
		return -1;
	in->ip = ip;
	in->ip_len = sizeof(*ip);
	in->packet_len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	in->is_fragment = 0;
	in->protocol = ip->nexthdr;
	in->tos = bpf_ntohl(ip->version_class_label) >> 20;
	in->ttl = ip->hop_limit;
	in->df = 1; /* as the kernel takes it */
	return 0;
}

/* Reads the frame at an offset of the packet. It returns 0 if the programs may pass it on. */
static __always_inline int read_inner(struct inner *in, void *at, void *end)
{
	struct ethhdr *eth = at;

	if ((void *)(eth + 1) > end)
		return -1;
	in->ethernet = eth;
	if (eth->protocol == ETH_P_IP)
		return read_ip4(in, eth + 1, end);
	if (eth->protocol == ETH_P_IPV6)
		return read_ip6(in, eth + 1, end);
	return -1;
}

/* Returns the length of the headers of IP and TCP or UDP. It is 0 for fragments, for other protocols, and where these
 * headers are not whole. */
static __always_inline __u32 header_len(const struct inner *in, void *end)
{
	struct tcphdr *tcp = in->ip + in->ip_len;

	if (in->is_fragment)
		return 0;
	if (in->protocol == IPPROTO_TCP && (void *)(tcp + 1) <= end)
		return in->ip_len + (tcp->doff_res >> 4) * 4;
	if (in->protocol == IPPROTO_UDP && (void *)tcp + sizeof(struct udphdr) <= end)
		return in->ip_len + sizeof(struct udphdr);
	return 0;
}

/* Counts an aggregate as the packets that it stands for: it is to be cut up, or was put together. A card
 * need not have counted them. */
static __always_inline __u32 packets_in(struct __sk_buff *skb, const struct inner *in, void *end)
{
	__u32 size = skb->gso_size, len;

	if (!size)
		return 1;
	if (skb->gso_segs)
		return skb->gso_segs;
	len = header_len(in, end);
	return in->packet_len <= len ? 1 : (in->packet_len - len + size - 1) / size;
}
