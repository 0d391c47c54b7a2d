package network

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// LabelPrefix begins the labels that are options: `vxlan.vni=100` is `--opt vni=100`. Podman's
// Docker-compatible API drops the options of other drivers than its own, and passes labels on.
const LabelPrefix = "vxlan."

// dnsLabel turns container names on or off. That API has no field for them, and turns them off.
const dnsLabel = LabelPrefix + "dns"

// Labelled is the configuration of a new network whose labels were taken over.
type Labelled struct {
	Config   []byte
	Warnings []string
	Problems Problems
}

// TakeOverLabels makes options of a new network's labels. It is for `create` alone: Podman keeps
// the options, and older versions of netavark leave the labels out of what they pass on later.
func TakeOverLabels(data []byte) (Labelled, error) {
	result := Labelled{Config: data}
	var c labelConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return result, fmt.Errorf("read network: %w", err)
	}
	changed := map[string]any{}
	if c.takeOptions(&result.Problems) {
		changed["options"] = c.Options
		changed["dns_enabled"] = c.takeDNS(&result)
	}
	// Docker's word for the usual IPAM driver. Podman allocates nothing for a driver it does not
	// know.
	if c.IPAMOptions["driver"] == "default" {
		c.IPAMOptions["driver"] = "host-local"
		changed["ipam_options"] = c.IPAMOptions
	}
	var err error
	result.Config, err = replaceKeys(data, changed)
	return result, err
}

// labelConfig is what labels have to do with.
type labelConfig struct {
	Options     map[string]string `json:"options"`
	Labels      map[string]string `json:"labels"`
	IPAMOptions map[string]string `json:"ipam_options"`
	DNS         bool              `json:"dns_enabled"`
}

// takeOptions adds the labels to the options, and tells whether there were any.
func (c *labelConfig) takeOptions(problems *Problems) (found bool) {
	names := []string{dnsLabel}
	for _, o := range options {
		names = append(names, LabelPrefix+o.name)
	}
	for _, label := range slices.Sorted(maps.Keys(c.Labels)) {
		name, ours := strings.CutPrefix(label, LabelPrefix)
		if !ours {
			continue
		}
		found = true
		value := c.Labels[label]
		typed, both := c.Options[name]
		switch {
		case label == dnsLabel:
		case !slices.Contains(names, label):
			problems.Add("label", label, "is unknown; %s", labelHint(name, label, names))
		case both && typed != value:
			problems.Add("label "+label, value, "contradicts --opt %s=%s; give one of them", name, typed)
		case !both:
			if c.Options == nil {
				c.Options = map[string]string{}
			}
			c.Options[name] = value
		}
	}
	return found
}

func labelHint(name, label string, names []string) string {
	if hint, ok := foreignOptions[strings.ToLower(name)]; ok {
		return hint
	}
	if near := nearestName(label, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "the labels are " + strings.Join(names, ", ")
}

// takeDNS tells whether containers find each other by name. Where options come as labels they do,
// unless a label says otherwise: the API cannot say that it is wanted.
func (c *labelConfig) takeDNS(result *Labelled) bool {
	typed, given := c.Labels[dnsLabel]
	if given {
		on, ok := parseBool(strings.TrimSpace(typed))
		if !ok {
			result.Problems.Add("label "+dnsLabel, typed, "must be "+boolAccepts)
		}
		return on
	}
	if !c.DNS && c.IPAMOptions["driver"] != "none" {
		result.Warnings = append(result.Warnings, "containers find each other by name, as options came as labels; "+
			"the label vxlan.dns=false turns that off")
		return true
	}
	return c.DNS
}

// replaceKeys sets keys of a JSON object, and leaves the others as they are.
func replaceKeys(data []byte, changed map[string]any) ([]byte, error) {
	if len(changed) == 0 {
		return data, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read network: %w", err)
	}
	for key, value := range changed {
		m[key], _ = json.Marshal(value) // booleans and maps of strings always marshal
	}
	return json.Marshal(m)
}
