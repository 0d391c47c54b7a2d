package bpfpath

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"vxlan-driver/internal/kernel/fastpath"
)

// removeOtherLayouts removes what another version of this program has pinned.
func (p *Programs) removeOtherLayouts() error {
	isOther := func(name string) bool { return name != layout }
	return removeEntries(p.Dir, isOther)
}

// removeGoneNamespaces removes what was pinned for network namespaces whose links are all gone: nobody else
// would. A file system may be shared by hosts that are containers. Early versions pinned elsewhere.
func (p *Programs) removeGoneNamespaces() error {
	all := filepath.Dir(p.Dir)
	return removeEntries(all, func(name string) bool {
		dir := filepath.Join(all, name)
		return dir != p.Dir && (!strings.HasPrefix(name, fastpath.NamespacePrefix) || isGone(dir))
	})
}

// isGone tells whether a directory has links pinned that were attached to something, and no longer are.
func isGone(dir string) bool {
	pins, err := filepath.Glob(filepath.Join(dir, "*", "networks", "*", "*"))
	if err != nil {
		return false
	}
	for _, pin := range pins {
		l, at, err := openPinned(pin)
		if l != nil {
			l.Close()
		}
		if err != nil || at != 0 {
			return false
		}
	}
	return len(pins) > 0 // without, somebody may just begin
}

func removeEntries(dir string, isUnused func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if isUnused(e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
