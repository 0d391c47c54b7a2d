package netstack

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Sysctl reads a kernel parameter. The error of one that is not there, as those of IPv6 where it is
// disabled, is fs.ErrNotExist.
func (ns *Stack) Sysctl(key string) (value string, err error) {
	err = ns.inNamespace(func() error {
		data, err := os.ReadFile(sysctlPath(key))
		value = strings.TrimSpace(string(data))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", key, err)
	}
	return value, nil
}

// setSysctls writes files for those only that rtnetlink cannot set.
func (ns *Stack) setSysctls(set kernel.SetSysctls) error {
	var errs []error
	var rest []kernel.Sysctl
	for _, s := range set.Sysctls {
		done, err := ns.SetSysctl(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
		}
		if !done {
			rest = append(rest, s)
		}
	}
	if len(rest) > 0 {
		errs = append(errs, ns.inNamespace(func() error { return writeSysctls(rest) }))
	}
	return errors.Join(errs...)
}

// writeSysctls writes files below /proc/sys.
func writeSysctls(all []kernel.Sysctl) error {
	var errs []error
	for _, s := range all {
		if err := writeSysctl(s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
		}
	}
	return errors.Join(errs...)
}

func writeSysctl(s kernel.Sysctl) error {
	f, err := os.OpenFile(sysctlPath(s.Key), os.O_WRONLY, 0)
	if errors.Is(err, unix.EROFS) && (mayBeUnset(s) || isAlreadySet(s)) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.Value)
	return errors.Join(err, f.Close())
}

// mayBeUnset tells whether a container may start without a parameter where /proc/sys is read-only.
// It works without; what accept_ra and autoconf of 0 keep from it is other containers' routers. The
// firewall keeps those from the host. netavark's bridges do not even set accept_ra.
func mayBeUnset(s kernel.Sysctl) bool {
	name := path.Base(s.Key)
	return s.Value == "0" && (name == "accept_ra" || name == "autoconf")
}

// isAlreadySet tells whether a parameter needs no writing.
func isAlreadySet(s kernel.Sysctl) bool {
	have, err := os.ReadFile(sysctlPath(s.Key))
	return err == nil && strings.TrimSpace(string(have)) == s.Value
}

func sysctlPath(key string) string { return filepath.Join("/proc/sys", key) }
