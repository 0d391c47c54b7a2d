package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"vxlan-driver/internal/adopt"
)

// Read returns what is given of a new network, in the configuration that Podman passes to the plugin.
func Read(config []byte) (adopt.Definition, error) {
	d, ok := adopt.Read(config)
	if !ok {
		return d, errors.New("read network: it is none of this driver")
	}
	return d.Shared(), nil
}

// complete fills in what a host leaves to itself: where its tunnels begin.
func complete(config []byte) ([]byte, error) {
	return edit(config, func(m map[string]json.RawMessage, options map[string]string) {
		for _, name := range []string{"local_ip", "physical_interface"} {
			if options[name] == "" {
				options[name] = "auto"
			}
		}
	})
}

// withVNI gives the network a VNI.
func withVNI(config []byte, vni uint32) ([]byte, error) {
	return edit(config, func(_ map[string]json.RawMessage, options map[string]string) {
		options["vni"] = strconv.FormatUint(uint64(vni), 10)
	})
}

// Apply makes a network of what is given, and otherwise of what is defined. An option that contradicts is an
// error that shows both values.
func Apply(config []byte, defined adopt.Definition) ([]byte, error) {
	given, err := Read(config)
	if err != nil {
		return nil, err
	}
	if all := defined.Contradictions(given); len(all) > 0 {
		var lines []string
		for _, c := range all {
			lines = append(lines, "\n  "+c.Text("given", "in etcd"))
		}
		return nil, fmt.Errorf("network %s is defined in etcd otherwise:%s\nleave out what is defined, or take another name",
			defined.Name, strings.Join(lines, ""))
	}
	completed, err := complete(config)
	if err != nil {
		return nil, err
	}
	return edit(completed, func(m map[string]json.RawMessage, options map[string]string) {
		for name, text := range defined.Options {
			if _, isGiven := options[name]; !isGiven {
				options[name] = text
			}
		}
		setUndefined(m, given, defined)
	})
}

// setUndefined sets what else was not given.
func setUndefined(m map[string]json.RawMessage, given, defined adopt.Definition) {
	if len(given.Subnets) == 0 && len(defined.Subnets) > 0 {
		var subnets []map[string]string
		for _, s := range defined.Subnets {
			subnet := map[string]string{"subnet": s.Prefix}
			if s.Gateway != "" {
				subnet["gateway"] = s.Gateway
			}
			subnets = append(subnets, subnet)
		}
		set(m, "subnets", subnets)
	}
	if len(given.Routes) == 0 && len(defined.Routes) > 0 {
		var routes []podmanRoute
		for _, r := range defined.Routes {
			routes = append(routes, podmanRoute(r))
		}
		set(m, "routes", routes)
	}
	if len(given.DNSServers) == 0 && len(defined.DNSServers) > 0 {
		set(m, "network_dns_servers", defined.DNSServers)
	}
	if defined.Internal {
		set(m, "internal", true)
	}
	if defined.NoNames {
		set(m, "dns_enabled", false)
	}
	if defined.NoAddress {
		set(m, "ipam_options", map[string]string{"driver": "none"})
	}
}

// podmanRoute is an adopt.Route as Podman writes it.
type podmanRoute struct {
	Destination string  `json:"destination"`
	Gateway     string  `json:"gateway,omitempty"`
	Metric      *uint32 `json:"metric,omitempty"`
	Type        string  `json:"route_type,omitempty"`
}

func set(m map[string]json.RawMessage, key string, v any) {
	m[key], _ = json.Marshal(v) // lists and maps of strings always marshal
}

// edit changes a network's configuration, and leaves what is not known here as it is.
func edit(config []byte, change func(m map[string]json.RawMessage, options map[string]string)) ([]byte, error) {
	var m map[string]json.RawMessage
	options := make(map[string]string)
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("read network: %w", err)
	}
	if raw := m["options"]; len(raw) > 0 && string(raw) != "null" {
		if err := json.Unmarshal(raw, &options); err != nil {
			return nil, fmt.Errorf("read options: %w", err)
		}
	}
	change(m, options)
	set(m, "options", options)
	return json.Marshal(m)
}
