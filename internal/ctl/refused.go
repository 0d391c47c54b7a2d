package ctl

import (
	"fmt"
	"io"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
)

// advice says what to do about what was refused, by reason.
var advice = map[string]string{
	"wrong key":                   "copy one key_file to all hosts",
	"wrong cluster label":         "set cluster alike on all hosts, unless the host is of another cluster",
	"wrong protocol version":      "install one version of vxland on all hosts",
	"host is not listed":          "add it to remote_ips on this host, or give all hosts the same key_file",
	"host does not list this one": "add this host to remote_ips there, or give all hosts the same key_file",
	"host refuses this one":       "`vxlanctl status` there says why: another key_file, or another cluster",
}

// printRefusals prints what this host refused, and which hosts refuse it or do not answer.
func printRefusals(out io.Writer, refused []agentapi.RefusalStatus) {
	for _, r := range refused {
		switch {
		case r.Silent:
			fmt.Fprintf(out, "  no agent yet: %s; it starts with that host's first container\n", joinAddrs(r.Hosts))
			continue
		case r.OfOtherHost:
			fmt.Fprintf(out, "  %s:\n", r.Reason)
		default:
			fmt.Fprintf(out, "  refused, %s: %d\n", r.Reason, r.Count)
		}
		for _, h := range r.Hosts {
			fmt.Fprintf(out, "    %s: %d in %s, the last one %s ago\n", h.Addr, h.Count, roundAge(h.Since), roundAge(h.Last))
		}
		if text := advice[r.Reason]; text != "" {
			fmt.Fprintf(out, "    what to do: %s\n", text)
		}
	}
}

// roundAge rounds to seconds, and up to one.
func roundAge(d time.Duration) time.Duration { return max(time.Second, d.Round(time.Second)) }

func joinAddrs(hosts []agentapi.RefusedHost) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.Addr.String())
	}
	return strings.Join(all, ", ")
}
