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

// maxOutput is the size of a pipe's buffer. Podman 5 reads create's output only after the plugin
// has ended, so a plugin that writes more hangs.
const maxOutput = 64 << 10

// Plugin has a method for each verb.
type Plugin interface {
	// Create checks a new network and returns its completed configuration.
	Create(network []byte) ([]byte, error)
	// Setup connects the container whose network namespace is at the path. When it fails it leaves
	// nothing behind, since no teardown follows.
	Setup(namespace string, r Request) (Status, error)
	// Teardown disconnects a container. It may be called twice, or with a namespace that is gone.
	Teardown(namespace string, r Request) error
}

// Request is the input of setup and teardown.
type Request struct {
	ContainerID   string          `json:"container_id"`
	ContainerName string          `json:"container_name"`
	PortMappings  json.RawMessage `json:"port_mappings"`
	Network       json.RawMessage `json:"network"`
	Options       json.RawMessage `json:"network_options"`
}

// Status is the output of setup: what `podman inspect` shows, and the name servers for the
// container's resolv.conf.
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

// Main runs the verb in args, which are the program's arguments without its name, and returns the
// exit status.
func Main(p Plugin, version string, args []string, stdin io.Reader, stdout io.Writer) int {
	out, undo, err := runVerb(p, version, args, stdin)
	if err == nil && len(out) >= maxOutput {
		err = fmt.Errorf("the answer has %d bytes, more than the %d that Podman can read; shorten the list of hosts",
			len(out), maxOutput-1)
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
		// The caller is gone or cannot read. It does not know of the container's connection, so no
		// teardown will follow.
		undo()
		return 1
	}
	if err != nil {
		return 1
	}
	return 0
}

// runVerb returns the output, and a function that undoes what was done.
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
		err = fmt.Errorf(
			"unknown call %q; this is a netavark plugin, called as `create`, `setup NETNS`, `teardown NETNS` or `info`", args)
	}
	return out, undo, err
}

// runAttachVerb runs setup or teardown. It ignores the signals that end a user's processes: those
// typed at a terminal, those of a terminal that closes, those of a service manager. The verbs take
// milliseconds and must not end half way. It ignores SIGPIPE for the case that netavark was killed
// and nobody reads the output.
func runAttachVerb(p Plugin, verb, namespace string, stdin io.Reader) (out []byte, undo func(), err error) {
	undo = func() {}
	signal.Ignore(os.Interrupt, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGPIPE)
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
	// Nobody is left to report an error to.
	return out, func() { _ = p.Teardown(namespace, r) }, err
}

// withoutNulls replaces null by empty lists, since netavark's parser refuses null.
func (s Status) withoutNulls() Status {
	if s.DNSSearchDomains == nil {
		s.DNSSearchDomains = []string{}
	}
	if s.DNSServerIPs == nil {
		s.DNSServerIPs = []netip.Addr{}
	}
	return s
}
