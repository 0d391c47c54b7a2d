package netavark

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
)

const apiVersion = "1.0.0"

// maxOutput is the size of a pipe's buffer: Podman 5 does not read what create
// prints before the plugin has ended, so a plugin that printed more would hang.
const maxOutput = 64 << 10

// Plugin carries out the verbs.
type Plugin interface {
	// Create checks a new network and returns its configuration completed.
	Create(network []byte) ([]byte, error)
	// Setup connects a container, whose network namespace is at the path, to a
	// network. When it fails it leaves nothing behind: no teardown follows.
	Setup(namespace string, r Request) (Status, error)
	// Teardown disconnects a container. It may come twice, or with a namespace
	// that is gone.
	Teardown(namespace string, r Request) error
}

// Request is what setup and teardown get.
type Request struct {
	ContainerID   string          `json:"container_id"`
	ContainerName string          `json:"container_name"`
	PortMappings  json.RawMessage `json:"port_mappings"`
	Network       json.RawMessage `json:"network"`
	Options       json.RawMessage `json:"network_options"`
}

// Status is what setup returns: what `podman inspect` shows, and the name
// servers that go into the container's resolv.conf.
type Status struct {
	DNSSearchDomains []string             `json:"dns_search_domains"`
	DNSServerIPs     []netip.Addr         `json:"dns_server_ips"`
	Interfaces       map[string]Interface `json:"interfaces"`
}

// Interface is a device in the container.
type Interface struct {
	MAC     string   `json:"mac_address"`
	Subnets []Subnet `json:"subnets"`
}

// Subnet is an address of an interface.
type Subnet struct {
	IPNet   netip.Prefix `json:"ipnet"`
	Gateway *netip.Addr  `json:"gateway,omitempty"`
}

// Main runs the verb in args, the process's arguments without its name, and
// returns the process's exit status.
func Main(p Plugin, version string, args []string, stdin io.Reader, stdout io.Writer) int {
	out, undo, err := runVerb(p, version, args, stdin)
	if err == nil && len(out) >= maxOutput {
		err = fmt.Errorf("the answer has %d bytes, more than the %d that Podman can read; shorten the list of hosts", len(out), maxOutput-1)
	}
	if err != nil {
		out, _ = json.Marshal(struct { // a struct of a string always marshals
			Error string `json:"error"`
		}{err.Error()})
	}
	if len(out) == 0 {
		return 0
	}
	if _, writeErr := stdout.Write(out); writeErr != nil {
		// Whoever asked is gone, or cannot read; either way nobody knows of what was built, and no teardown follows.
		undo()
		return 1
	}
	if err != nil {
		return 1
	}
	return 0
}

// runVerb returns the answer, and what takes back what was done for it.
func runVerb(p Plugin, version string, args []string, stdin io.Reader) (out []byte, undo func(), err error) {
	undo = func() {}
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch {
	case verb == "info" && len(args) == 1:
		out, err = json.Marshal(map[string]string{"version": version, "api_version": apiVersion})
	case verb == "create" && len(args) == 1:
		data, readErr := io.ReadAll(stdin)
		if readErr != nil {
			return nil, undo, fmt.Errorf("create: read network: %w", readErr)
		}
		out, err = p.Create(data)
	case (verb == "setup" || verb == "teardown") && len(args) == 2:
		return runAttachVerb(p, verb, args[1], stdin)
	default:
		err = fmt.Errorf("unknown call %q; this is a netavark plugin, called as `create`, `setup NETNS`, `teardown NETNS` or `info`", args)
	}
	return out, undo, err
}

// runAttachVerb runs setup or teardown. They take milliseconds and leave the host in
// order when they end, so the signals by which a user interrupts Podman, and
// which reach all its processes, do not stop them half way; nor does SIGPIPE,
// when netavark was killed and nobody reads the answer.
func runAttachVerb(p Plugin, verb, namespace string, stdin io.Reader) (out []byte, undo func(), err error) {
	undo = func() {}
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	var r Request
	if err := json.NewDecoder(stdin).Decode(&r); err != nil {
		return nil, undo, fmt.Errorf("%s: read request: %w", verb, err)
	}
	if verb == "teardown" {
		return nil, undo, p.Teardown(namespace, r)
	}
	status, err := p.Setup(namespace, r)
	if err != nil {
		return nil, undo, err
	}
	out, err = json.Marshal(status.withoutNulls())
	// There is nobody left to tell of an error.
	return out, func() { _ = p.Teardown(namespace, r) }, err
}

// withoutNulls has empty lists where netavark's parser refuses null.
func (s Status) withoutNulls() Status {
	if s.DNSSearchDomains == nil {
		s.DNSSearchDomains = []string{}
	}
	if s.DNSServerIPs == nil {
		s.DNSServerIPs = []netip.Addr{}
	}
	return s
}
