package fastpath

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
)

// The eBPF programs, which an agent attaches, stay when it ends: their tables and links are pinned.
// What is pinned where is the same in all versions of this program, so that any of them can take out
// what must not stay. The plugin does, without a library for it.
//
//	PinDir/netns-COOKIE/LAYOUT/TABLE                       a table; LAYOUT tells versions of their values apart
//	PinDir/netns-COOKIE/LAYOUT/networks/DEVICE/LINK        what attaches programs of a network
//	PinDir/netns-COOKIE/LAYOUT/networks/DEVICE/port-MAC    what attaches the program of a container's port

// PinDir is where programs are pinned. A host that is a container may share the file system with others.
const PinDir = "/sys/fs/bpf/vxlan-driver"

// NamespacePrefix begins the names of the directories in PinDir, one for each network namespace.
const NamespacePrefix = "netns-"

// NamespacePins is where programs of the network namespace at path are pinned, or for "" of the one that
// the caller is in.
func NamespacePins(path string) string {
	cookie, _ := netns.Cookie(path) // before Linux 5.14 there is none, and nothing is pinned
	return PinDir + "/" + NamespacePrefix + strconv.FormatUint(cookie, 10)
}

// Tables by a network and a MAC, keyed as stationKey.
const (
	PinnedRemotes = "remotes"
	PinnedLocals  = "locals"
)

// pinnedNetworks is the directory of the networks' directories.
const pinnedNetworks = "networks"

// NetworkPins is the directory of a network. The file system reserves names with dots. No device's
// name has a colon.
func NetworkPins(layout, device string) string {
	return layout + "/" + pinnedNetworks + "/" + strings.ReplaceAll(device, ".", ":")
}

// PortPin is what attaches the program of a container's port.
func PortPin(layout, device string, mac kernel.MAC) string {
	return NetworkPins(layout, device) + "/" + portChainName(mac)
}

// layouts are the directories of the versions that have something pinned; mostly of one or none.
func layouts(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		paths = append(paths, dir+"/"+e.Name())
	}
	return paths, err
}

// EvictPinned takes a container's MAC from the tables of eBPF programs that are pinned in a directory,
// and the program from its port. It returns the first error. indexOf returns a link's index, or
// kernel.ErrNotFound.
func EvictPinned(dir, device string, mac kernel.MAC, indexOf func(string) (int, error)) error {
	paths, err := layouts(dir)
	for _, layout := range paths {
		if pinErr := os.Remove(PortPin(layout, device, mac)); pinErr != nil && !errors.Is(pinErr, fs.ErrNotExist) {
			err = pinErr
		}
		index, indexErr := indexOf(device)
		if errors.Is(indexErr, kernel.ErrNotFound) {
			continue // its entries lead nowhere
		}
		err = cmp.Or(err, indexErr,
			deletePinned(layout+"/"+PinnedLocals, index, mac), deletePinned(layout+"/"+PinnedRemotes, index, mac))
	}
	return err
}

// RemovePinned removes what eBPF programs of a VXLAN device's network have pinned, and all with the
// last network. What the tables have of the network leads nowhere then: its containers were evicted,
// and the agent clears the rest.
func RemovePinned(dir, device string) error {
	paths, err := layouts(dir)
	for _, layout := range paths {
		err = cmp.Or(err, os.RemoveAll(NetworkPins(layout, device)))
		if os.Remove(layout+"/"+pinnedNetworks) == nil { // no other network is left
			err = cmp.Or(err, os.RemoveAll(layout))
		}
	}
	removeEmpty(dir)
	return err
}

// RemoveAllPinned removes all that is pinned for a namespace.
func RemoveAllPinned(dir string) error {
	err := os.RemoveAll(dir)
	removeEmpty(dir)
	return err
}

// removeEmpty removes the directory of a namespace, and the one of all, unless something is in them.
func removeEmpty(dir string) {
	_ = os.Remove(dir)
	_ = os.Remove(filepath.Dir(dir))
}

// deletePinned deletes the entry of a network's MAC from a pinned table, if both exist.
func deletePinned(table string, device int, mac kernel.MAC) error {
	path := append([]byte(table), 0)
	open := struct {
		path  unsafe.Pointer
		_     pointerPadding
		flags uint64
	}{path: unsafe.Pointer(&path[0])}
	fd, errno := bpf(unix.BPF_OBJ_GET, unsafe.Pointer(&open), unsafe.Sizeof(open))
	if errno == 0 {
		key := stationKey(device, mac)
		remove := struct {
			table        uint64
			key          unsafe.Pointer
			_            pointerPadding
			value, flags uint64
		}{table: uint64(fd), key: unsafe.Pointer(&key)}
		_, errno = bpf(unix.BPF_MAP_DELETE_ELEM, unsafe.Pointer(&remove), unsafe.Sizeof(remove))
		unix.Close(fd)
	}
	if errno != 0 && errno != unix.ENOENT {
		return errno
	}
	return nil
}

// stationKey is a struct station of the programs.
func stationKey(device int, mac kernel.MAC) (key [12]byte) {
	binary.NativeEndian.PutUint32(key[:], uint32(device))
	copy(key[4:], mac[:])
	return key
}

// pointerPadding follows a pointer in a union bpf_attr (linux/bpf.h), where each has eight bytes.
type pointerPadding [8 - unsafe.Sizeof(uintptr(0))]byte

// bpf is bpf(2).
func bpf(command int, attributes unsafe.Pointer, size uintptr) (int, unix.Errno) {
	r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attributes), size)
	return int(r), errno
}
