package adopt

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// Check refuses a definition whose parts Podman could take for something else. It comes from
// another host.
func (d Definition) Check() error {
	if !isWord(d.Name) || d.Bridge != "" && !isWord(d.Bridge) {
		return fmt.Errorf("network %q: must have letters, digits, \"_\", \".\" and \"-\" only", d.Name)
	}
	if !isPrintable(d.Host) {
		return fmt.Errorf("network %s: host %q has no name that can be printed", d.Name, d.Host)
	}
	for name, value := range d.Options {
		if !isWord(name) || !isPrintable(value) {
			return fmt.Errorf("network %s: option %q is none", d.Name, name)
		}
	}
	for _, s := range d.Subnets {
		if _, err := netip.ParsePrefix(s.Prefix); err != nil {
			return fmt.Errorf("network %s: %w", d.Name, err)
		}
		if err := checkAddr(s.Gateway); err != nil {
			return fmt.Errorf("network %s: %w", d.Name, err)
		}
	}
	for _, r := range d.Routes {
		_, err := netip.ParsePrefix(r.Destination)
		if err == nil {
			err = checkAddr(r.Gateway)
		}
		if err != nil || r.Type != "" && !isWord(r.Type) {
			return fmt.Errorf("network %s: route %q is none", d.Name, r)
		}
	}
	for _, s := range d.DNSServers {
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("network %s: %w", d.Name, err)
		}
	}
	return nil
}

func checkAddr(text string) error {
	if text == "" {
		return nil
	}
	_, err := netip.ParseAddr(text)
	return err
}

// isWord tells whether a name begins with a letter or a digit, and so is no flag.
func isWord(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("_.-", rune(c))) {
			return false
		}
	}
	return s != ""
}

// isPrintable tells whether a terminal shows the text as it is.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
