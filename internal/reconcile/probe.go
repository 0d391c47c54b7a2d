package reconcile

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// ProbeAddresses asks the network's other hosts for addresses that the agent wants to assign. It
// returns, for each that somebody has, an error that says who.
func ProbeAddresses(host Namespace, p plan.AddressProbe) (map[netip.Addr]error, error) {
	answers, err := askForAddresses(host, p)
	if err != nil {
		return nil, err
	}
	holders := make(map[netip.Addr]error)
	for _, a := range answers {
		holders[a.Addr] = describeAnswer(host, p, a)
	}
	return holders, nil
}

// checkAddresses fails if another host has one of the addresses.
func checkAddresses(host Namespace, p plan.AddressProbe) error {
	answers, err := askForAddresses(host, p)
	if err != nil {
		return err
	}
	if answers, err = confirmAnswers(host, p, answers); err != nil {
		return err
	}
	var errs []error
	for _, a := range answers {
		errs = append(errs, describeAnswer(host, p, a))
	}
	return errors.Join(errs...)
}

// askForAddresses returns who else has the addresses.
func askForAddresses(host Namespace, p plan.AddressProbe) ([]kernel.ProbeAnswer, error) {
	if len(p.Addrs) == 0 {
		return nil, nil
	}
	// A container that is there already would answer for itself.
	if _, err := host.Link(p.Port, 0); !errors.Is(err, kernel.ErrNotFound) {
		return nil, err
	}
	return host.ProbeAddresses(p.Bridge, p.Sender, p.Addrs)
}

// confirmAnswers asks again for addresses on other hosts. The container there may have stopped just
// now, and this host's bridge answers for it until the agent hears of that. Probes on the VXLAN
// device do not pass the bridge, so only the other host answers them.
func confirmAnswers(host Namespace, p plan.AddressProbe,
	answers []kernel.ProbeAnswer) (confirmed []kernel.ProbeAnswer, err error) {
	var remote []netip.Addr
	for _, a := range answers {
		vtep, err := host.VTEP(p.Device, a.MAC)
		if err != nil {
			return nil, err
		}
		if vtep.IsValid() {
			remote = append(remote, a.Addr)
		} else {
			confirmed = append(confirmed, a)
		}
	}
	if len(remote) == 0 {
		return confirmed, nil
	}
	again, err := host.ProbeAddresses(p.Device, p.Sender, remote)
	return append(confirmed, again...), err
}

func describeAnswer(host Namespace, p plan.AddressProbe, a kernel.ProbeAnswer) error {
	where := "this host"
	vtep, err := host.VTEP(p.Device, a.MAC)
	if err != nil {
		return err
	}
	if vtep.IsValid() {
		where = "host " + vtep.String()
	}
	return fmt.Errorf(
		"address %s of network %s is in use: %s on %s answers for it; choose another --ip, or stop what has it",
		a.Addr, p.Network, a.MAC, where)
}
