package hoststate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/regfile"
)

// applyNetwork applies a plan about a network's devices, and tells other programs on the host of
// its bridge. systemd must know before the bridge is there. firewalld and Docker may only let it
// pass once it is known to be this network's. What they refuse is an error of its own: it stops no
// container, and takes none back.
func (s *Session) applyNetwork(n network.Network, container reconcile.Namespace,
	p plan.Plan) (report reconcile.Report, othersErr, err error) {
	keepErr := s.host.keepSysctls(n)
	report, err = reconcile.Apply(reconcile.Namespaces{Host: s.ns, Container: container}, p)
	var trustErr error
	if report.DevicesReady {
		trustErr = errors.Join(s.host.Zones.Trust(n.Bridge.Name), s.acceptInDocker(n))
	}
	if report.DevicesReady && n.Encrypts() {
		// What comes by them is VXLAN. The driver's own rules drop all else.
		for _, d := range n.WireGuard {
			trustErr = errors.Join(trustErr, s.host.Zones.Trust(d.Name))
		}
	}
	return report, errors.Join(keepErr, trustErr), err
}

// forgetBridge undoes what other programs were told. What they refuse keeps no record: the links
// are gone.
func (s *Session) forgetBridge(id network.Identity) {
	s.host.warnOfOthers(id.Name, errors.Join(
		s.host.dropSysctls(id), s.host.Zones.Untrust(id.Bridge.Name), s.ns.ForgetInDocker(id.Bridge.Name)))
}

// forgetWireGuard undoes what other programs were told of an encrypted network's devices.
func (s *Session) forgetWireGuard(id network.Identity) {
	config, err := s.records.Config(id.ID)
	if err != nil {
		return
	}
	if n, err := network.ParseStored(config); err != nil || !n.Encrypts() {
		return
	}
	s.host.warnOfOthers(id.Name, errors.Join(
		s.host.Zones.Untrust(id.WireGuard[0].Name), s.host.Zones.Untrust(id.WireGuard[1].Name)))
}

// warnOfOthers warns of what other programs on the host did not take.
func (h *Host) warnOfOthers(networkName string, err error) {
	if err != nil {
		h.Warn(fmt.Sprintf("network %s: %v", networkName, err))
	}
}

// keepSysctls writes the bridge's parameters, and those of the host, where systemd-udevd and
// `sysctl --system` read them. udevd sets the bridge's when the device appears, at about the same
// time as this program. `sysctl --system` sets all parameters anew.
func (h *Host) keepSysctls(n network.Network) error {
	if h.SysctlDir == "" {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", n.Alias())
	for _, s := range plan.KeptSysctls(n) {
		// The leading "-" tolerates a device that is gone (sysctl.d(5)).
		fmt.Fprintf(&b, "-%s = %s\n", s.Key, s.Value)
	}
	path := h.sysctlFile(n.Bridge.Name)
	if have, err := regfile.ReadText(path); err == nil && string(have) == b.String() {
		return nil
	}
	err := os.MkdirAll(h.SysctlDir, 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(b.String()), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep sysctls of %s: %w", n.Bridge.Name, err)
	}
	return nil
}

func (h *Host) dropSysctls(id network.Identity) error {
	if h.SysctlDir == "" {
		return nil
	}
	err := os.Remove(h.sysctlFile(id.Bridge.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove sysctls: %w", err)
	}
	return nil
}

// sysctlFile sorts behind the files of administrators and distributions, since the last one that
// names a parameter counts.
func (h *Host) sysctlFile(bridge string) string {
	return filepath.Join(h.SysctlDir, "zz-vxlan-driver-"+bridge+".conf")
}
