package driver

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Reload makes the host hold what its networks ask for, whatever happened to it:
// firewall, devices, ports on bridges, parameters, firewalld's zone. It returns how many
// networks there are. What works is put right also where something does not.
func (d *Driver) Reload() (networks int, err error) {
	if d.Rootless {
		return 0, errRootless
	}
	host, err := d.Open("")
	if err != nil {
		return 0, err
	}
	defer host.Close()
	st, err := store.Open(d.StoreDir)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	b := build{d, st, host}

	ids, err := st.Networks()
	if err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return 0, reconcile.RemoveFirewall(host)
	}
	claims, err := b.claimsBut("")
	errs := []error{err, reconcile.ResetFirewall(host, settle(claims))}
	for _, id := range ids {
		errs = append(errs, b.rebuild(id))
	}
	return len(ids), errors.Join(errs...)
}

// rebuild puts a network's devices and ports right.
func (b build) rebuild(networkID string) error {
	config, err := b.st.Config(networkID)
	if err != nil {
		return err
	}
	p, err := b.place(config)
	if err != nil {
		return err
	}
	records, err := b.st.Records(networkID)
	if mendErr := b.mend(p, records); mendErr != nil {
		err = errors.Join(err, fmt.Errorf("network %s: %w", p.Name, mendErr))
	}
	return err
}
