package hostid

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"vxlan-driver/internal/regfile"
)

// Machine is what tells this machine from a copy of it. What is empty is unknown.
type Machine struct {
	MachineID   string // of the installation (machine-id(5))
	ProductUUID string // of the hardware or virtual machine, as its firmware says
}

// ReadMachine reads what this machine says of itself. Only root may read the UUID, and containers
// and small boards have none.
func ReadMachine() Machine {
	return Machine{MachineID: machineID(readLine("/etc/machine-id")),
		ProductUUID: readLine("/sys/class/dmi/id/product_uuid")}
}

// machineID is a line of the file, if it is an ID. Images of machines have "uninitialized" there,
// which the first boot replaces.
func machineID(line string) string {
	const length = 16 // bytes
	if id, err := hex.DecodeString(line); err != nil || len(id) != length {
		return ""
	}
	return line
}

func readLine(path string) string {
	data, err := regfile.ReadText(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// fingerprint is what the file has of a machine: hashes, as machine-id(5) demands.
type fingerprint struct{ machineID, productUUID string }

func (m Machine) fingerprint() fingerprint {
	return fingerprint{hashOf("machine-id", m.MachineID), hashOf("product-uuid", m.ProductUUID)}
}

func hashOf(kind, value string) string {
	if value == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("vxlan-driver host-id " + kind + " " + value))
	return hex.EncodeToString(sum[:8])
}

// differsFrom says in what this machine differs from the one of a fingerprint, or "". What one of
// the two does not know is no difference.
func (m Machine) differsFrom(f fingerprint) string {
	own := m.fingerprint()
	switch {
	case own.machineID != "" && f.machineID != "" && own.machineID != f.machineID:
		return "machine-id"
	case own.productUUID != "" && f.productUUID != "" && own.productUUID != f.productUUID:
		return "product UUID"
	}
	return ""
}

// complete returns the fingerprint with what it lacks and this machine knows.
func (f fingerprint) complete(m Machine) fingerprint {
	own := m.fingerprint()
	if f.machineID == "" {
		f.machineID = own.machineID
	}
	if f.productUUID == "" {
		f.productUUID = own.productUUID
	}
	return f
}
