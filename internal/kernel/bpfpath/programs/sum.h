/* Checksums of headers, summed up by words as these are in memory (RFC 1071). */
#pragma once
#include "inner.h"

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

/* A checksum of 0 means that there is none. */
static __always_inline __u16 checksum(__u64 sum)
{
	__u16 check = ~fold(sum);

	return check ? check : 0xffff;
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

/* UDP and VXLAN, by words. */
struct vxlan_words {
	__be32 ports;
	__be32 len_check;
	__be32 flags;
	__be32 vni;
};

static __always_inline __u64 sum_vxlan(const struct vxlan_words *w)
{
	return (__u64)w->ports + w->len_check + w->flags + w->vni;
}

/* Tells the sum of a frame. That of an IP packet follows from its headers, if the checksum of its TCP or UDP is right
 * or left to the card: with its pseudo header the payload sums up to 0 then, as does an IPv4 header. The kernel calls
 * this local checksum offload (networking/checksum-offloads.rst). It returns 0 if the sum is known. */
static __always_inline int sum_frame(const struct inner *in, void *end, __u64 *sum)
{
	struct udphdr *udp = in->ip + in->ip_len;
	__u16 len = bpf_htons(in->packet_len - in->ip_len);

	if (!header_len(in, end))
		return -1;
	if (in->protocol == IPPROTO_UDP) {
		if ((void *)(udp + 1) > end || !udp->check || udp->len != len)
			return -1;
	}
	*sum = sum_ethernet(in->ethernet) + MINUS(bpf_htons(in->protocol));
	if (in->ethernet->protocol == ETH_P_IP) {
		const struct iphdr *ip = in->ip;

		*sum += MINUS(fold((__u64)ip->saddr + ip->daddr + len));
	} else {
		const struct ip6hdr *ip = in->ip;

		/* Addresses and length are in header and pseudo header, and so cancel each other. */
		*sum += (__u64)ip->version_class_label + bpf_htons(ip->nexthdr << 8 | ip->hop_limit);
	}
	return 0;
}
