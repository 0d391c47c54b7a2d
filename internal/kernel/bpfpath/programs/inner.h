/* The frame inside, as far as the programs look at it. */
#pragma once
#include "kernel.h"
#include "maps.h"

struct inner {
	struct ethhdr ethernet;
	struct address source; /* of the IP packet */
	__u32 packet_len;      /* of the IP packet, as its header says */
	__u32 header_len;      /* of IP and TCP or UDP; 0 for fragments */
	__u64 sum;	       /* of the IP packet, for a checksum around it */
	__u8 has_sum;
	__u8 protocol;
	__u8 tos;
	__u8 ttl;
	__u8 df;
};

/* The sum of an IP packet's words follows from its headers, if the checksum of its TCP or UDP is
 * right or left to the card: with its pseudo header the payload sums up to 0 then, as does an
 * IPv4 header. The kernel calls this local checksum offload (networking/checksum-offloads.rst). */

static __always_inline __u64 sum_words(const struct address *a)
{
	return (__u64)a->word[0] + a->word[1] + a->word[2] + a->word[3];
}

/* Subtracting a word is adding its complement. */
#define MINUS(word) ((__u16)~(word))

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Without options. */
static __always_inline __u64 sum_ip4(const struct iphdr *ip)
{
	const __u32 *words = (const __u32 *)ip;

	return (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
}

static __always_inline __u64 sum_ethernet(const struct ethhdr *eth)
{
	const __u16 *words = (const __u16 *)eth;
	__u64 sum = 0;

	for (int i = 0; i < (int)sizeof(*eth) / 2; i++)
		sum += words[i];
	return sum;
}

/* Reads what follows the IP header. pseudo is the sum of the addresses. It tells whether the sum of
 * the packet can be known. */
static __always_inline int read_transport(struct inner *in, void *l4, void *end, __u32 ip_len)
{
	__u32 len = in->packet_len - ip_len;

	if (in->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end)
			return 0;
		in->header_len = ip_len + (tcp->doff_res >> 4) * 4;
		return 1;
	}
	if (in->protocol == IPPROTO_UDP) {
		struct udphdr *udp = l4;

		if ((void *)(udp + 1) > end)
			return 0;
		in->header_len = ip_len + sizeof(*udp);
		return udp->check && udp->len == bpf_htons(len);
	}
	return 0;
}

/* Other packets are left to the VXLAN device: a ping shows there what it always did. */
static __always_inline int is_taken(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* IPv4 with TCP or UDP, and fragments of these. */
static __always_inline int read_ip4(struct inner *in, void *at, void *end)
{
	struct iphdr *ip = at;
	__u32 ip_len;

	if ((void *)(ip + 1) > end || ip->version_ihl >> 4 != 4)
		return -1;
	ip_len = (ip->version_ihl & 15) * 4;
	in->packet_len = bpf_ntohs(ip->tot_len);
	if (ip_len < sizeof(*ip) || in->packet_len < ip_len || !is_taken(ip->protocol))
		return -1;
	set_ip4(&in->source, ip->saddr);
	in->protocol = ip->protocol;
	in->tos = ip->tos;
	in->ttl = ip->ttl;
	in->df = !!(ip->frag_off & IP_DF);
	in->header_len = 0;
	in->has_sum = 0;
	if (ip->frag_off & IP_FRAGMENT)
		return 0;
	in->has_sum = read_transport(in, at + ip_len, end, ip_len);
	in->sum = MINUS(fold((__u64)ip->saddr + ip->daddr + bpf_htons(ip->protocol) +
			     bpf_htons(in->packet_len - ip_len)));
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
	set_ip6(&in->source, ip->saddr);
	in->packet_len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	in->protocol = ip->nexthdr;
	in->tos = bpf_ntohl(ip->version_class_label) >> 20;
	in->ttl = ip->hop_limit;
	in->df = 1; /* as the kernel takes it */
	in->header_len = 0;
	in->has_sum = read_transport(in, ip + 1, end, sizeof(*ip));
	/* Addresses and length are in header and pseudo header, and so cancel each other. */
	in->sum = (__u64)ip->version_class_label + bpf_htons(ip->nexthdr << 8 | ip->hop_limit) +
		  MINUS(bpf_htons(ip->nexthdr));
	return 0;
}

/* Reads the frame at an offset of the packet. It returns 0 if the programs may pass it on. */
static __always_inline int read_inner(struct inner *in, void *at, void *end)
{
	struct ethhdr *eth = at;

	if ((void *)(eth + 1) > end)
		return -1;
	in->ethernet = *eth;
	if (eth->protocol == ETH_P_IP)
		return read_ip4(in, eth + 1, end);
	if (eth->protocol == ETH_P_IPV6)
		return read_ip6(in, eth + 1, end);
	return -1;
}

/* Counts an aggregate as the packets that it stands for: it is to be cut up, or was put together. A card
 * need not have counted them. */
static __always_inline __u32 packets_in(struct __sk_buff *skb, const struct inner *in)
{
	__u32 size = skb->gso_size;

	if (skb->gso_segs)
		return skb->gso_segs;
	if (!size || in->packet_len <= in->header_len)
		return 1;
	return (in->packet_len - in->header_len + size - 1) / size;
}
