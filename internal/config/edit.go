package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Membership is what a host's configuration must say for it to be a member of a cluster.
type Membership struct {
	KeyFile string
	Cluster string
	Port    uint16
	Seeds   []netip.AddrPort
}

// mark ends a line that Complete wrote, so that RemoveWritten finds it.
const mark = " # by vxlanctl"

// Complete adds to a configuration what a member's must say and it does not. What the user wrote
// stays as it is: where it contradicts, the error shows both. It returns the text and what was added.
func (m Membership) Complete(text string) (completed string, added []string, err error) {
	have, err := ParseSettings(text)
	if err != nil {
		return "", nil, err
	}
	var typed map[string]any
	meta, err := toml.Decode(text, &typed)
	if err != nil {
		return "", nil, err
	}
	var errs []error
	add := func(key, value string, isDefault, same bool) {
		switch given := meta.IsDefined(key); {
		case given && !same:
			errs = append(errs, fmt.Errorf("%s: the file has %v, and the cluster needs %s", key, typed[key], value))
		case !given && !isDefault:
			added = append(added, key+" = "+value)
		}
	}
	add("key_file", strconv.Quote(m.KeyFile), false, have.KeyFile == m.KeyFile)
	add("cluster", strconv.Quote(m.Cluster), m.Cluster == DefaultCluster, have.Cluster == m.Cluster)
	add("port", fmt.Sprint(m.Port), m.Port == have.Port, m.Port == have.Port)
	add("seeds", formatSeeds(m.Seeds, m.Port), len(m.Seeds) == 0, true) // a user knows better whom to ask
	add("keep_running", "true", false, true)
	if err := errors.Join(errs...); err != nil {
		return "", nil, err
	}
	if len(added) == 0 {
		return text, nil, nil
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for _, line := range added {
		text += line + mark + "\n"
	}
	return text, added, nil
}

// formatSeeds leaves the usual port out.
func formatSeeds(seeds []netip.AddrPort, port uint16) string {
	var all []string
	for _, s := range seeds {
		text := s.String()
		if s.Port() == port {
			text = s.Addr().String()
		}
		all = append(all, strconv.Quote(text))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// RemoveWritten returns a configuration without the lines that Complete wrote.
func RemoveWritten(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(strings.TrimRight(line, "\r\n"), mark) {
			b.WriteString(line)
		}
	}
	return b.String()
}
