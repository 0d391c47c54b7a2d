/* The fast path between containers of two hosts. Each program passes a packet on as a whole, or says
 * TCX_NEXT: then the packet goes the way that it would have gone without. */
#include "kernel.h"
#include "maps.h"
#include "inner.h"
#include "send.h"
#include "receive.h"
#include "straight.h"

/* On the host's end of a container's veth. */
SEC("tcx/ingress")
int from_container(struct __sk_buff *skb)
{
	return send(skb);
}

/* On the underlay interface. */
SEC("tcx/ingress")
int from_underlay(struct __sk_buff *skb)
{
	struct ethhdr *eth;
	void *end;

	if (skb->gso_size && !takes_aggregates)
		return TCX_NEXT;
	if (skb->vlan_present || (skb->protocol != ETH_P_IP && skb->protocol != ETH_P_IPV6))
		return TCX_NEXT;
	if (skb->pkt_type != PACKET_HOST)
		return TCX_NEXT;
	pull_headers(skb);
	eth = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if ((void *)(eth + 1) > end || eth->protocol != skb->protocol)
		return TCX_NEXT;
	if (eth->protocol == ETH_P_IP)
		return receive4(skb, eth + 1, end);
	return receive6(skb, eth + 1, end);
}

/* On a network's VXLAN device: what it has unwrapped, and whose sender the firewall has checked. */
SEC("tcx/ingress")
int from_device(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct counters *count;
	struct remote *sender;
	struct port *to;
	struct station s;
	struct inner in;
	__u32 *port;

	if (skb->vlan_present || read_inner(&in, (void *)(long)skb->data, end) ||
	    skb->protocol != in.ethernet->protocol)
		return TCX_NEXT;
	set_station(&s, skb->ifindex, in.ethernet->destination);
	port = bpf_map_lookup_elem(&locals, &s);
	if (!port || !is_valid())
		return TCX_NEXT;
	to = bpf_map_lookup_elem(&ports, port);
	if (!to || (!skb->gso_size && skb->len - sizeof(struct ethhdr) > to->network.mtu))
		return TCX_NEXT;
	set_station(&s, skb->ifindex, in.ethernet->source);
	sender = bpf_map_lookup_elem(&remotes, &s);
	count = counters_of(sender ? sender->peer : 0);
	if (count) {
		count->unwrapped_packets += packets_in(skb, &in, end);
		count->unwrapped_bytes += skb->len;
	}
	/* It is for the container's MAC, not for the device's. */
	if (skb->pkt_type != PACKET_HOST && bpf_skb_change_type(skb, PACKET_HOST))
		return TCX_NEXT;
	skb->mark = 0;
	return bpf_redirect_peer(*port, 0);
}

/* On the host's end of a container's veth, on an encrypted network. */
SEC("tcx/ingress")
int from_encrypted(struct __sk_buff *skb)
{
	return straight_send(skb);
}

/* On a WireGuard device. */
SEC("tcx/ingress")
int from_wireguard(struct __sk_buff *skb)
{
	return straight_receive(skb);
}

/* Returns jiffies. The agent runs this, to set valid_jiffies and hops_jiffies. */
SEC("syscall")
int read_clock(__u64 *now)
{
	*now = bpf_jiffies64();
	return 0;
}

/* No helper that asks for the GPL is called. */
char __license[] SEC("license") = "Apache-2.0";
