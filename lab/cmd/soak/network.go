package main

import (
	"fmt"
	"math/rand/v2"
)

// networkCount is small, so that containers join networks that others are leaving.
const networkCount = 6

// network is a network as Podman's configuration has it.
type network struct {
	index   int
	name    string
	subnets []func(host int) string // the address of a host number in each of its subnets
	config  map[string]any
}

// networkOptions are options and their possible values; "" leaves an option out.
var networkOptions = []struct {
	name   string
	values []string
}{
	{"mtu", []string{"", "1300", "1400"}},
	{"metric", []string{"", "50", "200"}},
	{"no_default_route", []string{"", "true"}},
	{"vxlan_port", []string{"", "4790"}},
	{"learning", []string{"", "false"}},
	{"ageing", []string{"", "60"}},
	{"ttl", []string{"", "16"}},
	{"df", []string{"", "set"}},
	{"source_port_range", []string{"", "49152-65535"}},
	{"isolate", []string{"", "true", "strict"}},
	{"outbound_addr4", []string{"", "198.18.0.11"}},
	{"port_security", []string{"", "true", "false"}},
	{"address_check", []string{"", "true", "false"}},
}

// subnetKinds are the kinds of subnets that a network may have; the argument numbers the network.
var subnetKinds = [][]string{{"v4"}, {"v6"}, {"v4", "v6"}, {"v4", "other4"}, {"v4", "other4", "v6"}}

func makeNetworks(seed uint64, local string) []network {
	random := rand.New(rand.NewPCG(seed, 0))
	var all []network
	for i := range networkCount {
		all = append(all, makeNetwork(random, i, local))
	}
	return all
}

func makeNetwork(random *rand.Rand, i int, local string) network {
	options := map[string]string{
		"vni": fmt.Sprint(100 + i), "local_ip": local, "remote_ips": "198.18.0.77,198.18.0.78", "physical_interface": "eth0",
	}
	for _, o := range networkOptions {
		if value := o.values[random.IntN(len(o.values))]; value != "" {
			options[o.name] = value
		}
	}
	n := network{index: i, name: fmt.Sprintf("soak%d", i)}
	var subnets []map[string]string
	six := false
	for _, family := range subnetKinds[random.IntN(len(subnetKinds))] {
		prefix, address := "", ""
		switch family {
		case "v4":
			prefix, address = fmt.Sprintf("10.%d.0.0/24", i), fmt.Sprintf("10.%d.0.", i)
		case "other4":
			prefix, address = fmt.Sprintf("10.10%d.0.0/24", i), fmt.Sprintf("10.10%d.0.", i)
		case "v6":
			prefix, address, six = fmt.Sprintf("fd00:%d::/64", i), fmt.Sprintf("fd00:%d::", i), true
		}
		subnets = append(subnets, map[string]string{"subnet": prefix, "gateway": address + "1"})
		n.subnets = append(n.subnets, func(host int) string { return address + fmt.Sprint(host) })
	}
	n.config = map[string]any{
		"name": n.name, "id": fmt.Sprintf("%d123456789abcdef0123456789abcdef", i), "driver": "vxlan",
		"network_interface": "br-vxlan-" + n.name,
		"options":           options, "subnets": subnets, "ipv6_enabled": six, "dns_enabled": random.IntN(3) > 0,
		"internal": random.IntN(4) == 0,
	}
	return n
}
