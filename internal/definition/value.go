package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vxlan-driver/internal/adopt"
)

// value is a definition as it is stored. Who reads one refuses a field that it does not know, unless the
// field's name begins with optionalPrefix.
type value struct {
	// Options must be understood. Hosts without one of them may not reach the others.
	Options map[string]string `json:"options"`
	// OptionalOptions may be left out by a version that does not know them.
	OptionalOptions map[string]string `json:"optional_options,omitempty"`
	Subnets         []adopt.Subnet    `json:"subnets,omitempty"`
	Routes          []adopt.Route     `json:"routes,omitempty"`
	DNSServers      []string          `json:"dns_servers,omitempty"`
	Internal        bool              `json:"internal,omitempty"`
	NoNames         bool              `json:"no_names,omitempty"`
	NoAddress       bool              `json:"no_address,omitempty"`
}

const (
	// optionalPrefix begins the names of fields that a version may leave out which does not know them.
	optionalPrefix = "optional_"
	// maxValue bytes are far more than a network that was typed has.
	maxValue = 16 << 10
)

// Encode returns a definition as it is stored.
func Encode(d adopt.Definition) (string, error) {
	d = d.Shared()
	v := value{Options: make(map[string]string), OptionalOptions: make(map[string]string), Subnets: d.Subnets,
		Routes: d.Routes, DNSServers: d.DNSServers, Internal: d.Internal, NoNames: d.NoNames, NoAddress: d.NoAddress}
	for name, text := range d.Options {
		if adopt.Splits(name) {
			v.Options[name] = text
		} else {
			v.OptionalOptions[name] = text
		}
	}
	raw, err := json.Marshal(v)
	if err == nil && len(raw) > maxValue {
		err = fmt.Errorf("network %s: its definition has %d bytes, at most %d are allowed", d.Name, len(raw), maxValue)
	}
	return string(raw), err
}

// Decode reads what is stored of a network. Somebody else may have written it, or a later version: what this
// one does not know, and may leave out, is ignored.
func Decode(name string, raw []byte) (d adopt.Definition, ignored []string, err error) {
	if len(raw) > maxValue {
		return d, nil, fmt.Errorf("network %s: its definition has over %d bytes", name, maxValue)
	}
	var v value
	var fields map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(raw, &v), json.Unmarshal(raw, &fields)); err != nil {
		return d, nil, fmt.Errorf("network %s: read its definition: %w", name, err)
	}
	options := make(map[string]string)
	for option, text := range v.OptionalOptions {
		if adopt.KnowsOption(option) {
			options[option] = text
		} else {
			ignored = append(ignored, "option "+option)
		}
	}
	maps.Copy(options, v.Options)
	d = adopt.Definition{Name: name, Options: options, Subnets: v.Subnets, Routes: v.Routes, DNSServers: v.DNSServers,
		Internal: v.Internal, NoNames: v.NoNames, NoAddress: v.NoAddress}
	var unknown []string
	for option := range v.Options {
		if !adopt.KnowsOption(option) {
			unknown = append(unknown, "option "+option)
		}
	}
	more, mayIgnore := unknownFields(fields)
	unknown, ignored = append(unknown, more...), append(ignored, mayIgnore...)
	slices.Sort(ignored)
	return d, ignored, check(d, unknown)
}

// unknownFields are those that a later version has added.
func unknownFields(fields map[string]json.RawMessage) (unknown, mayIgnore []string) {
	known := []string{"options", "optional_options", "subnets", "routes", "dns_servers", "internal", "no_names",
		"no_address"}
	for name := range fields {
		switch {
		case slices.Contains(known, name):
		case strings.HasPrefix(name, optionalPrefix):
			mayIgnore = append(mayIgnore, name)
		default:
			unknown = append(unknown, name)
		}
	}
	return unknown, mayIgnore
}

// check refuses a definition that is not of a network by etcd, or of which not all is known that counts.
func check(d adopt.Definition, unknown []string) error {
	slices.Sort(unknown)
	switch err := d.Check(); {
	case len(unknown) > 0:
		return fmt.Errorf("network %s: this version does not know %s of its definition in etcd, without which this "+
			"host's containers may not reach the others; install the version of the host that defined it", d.Name,
			strings.Join(unknown, ", "))
	case err != nil:
		return err
	case !d.IsEtcd() || d.VNI() == 0:
		return fmt.Errorf("network %s: its definition in etcd has no vni, or not discovery=etcd", d.Name)
	}
	return nil
}
