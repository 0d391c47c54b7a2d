package doctor

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

// Manager is a program that manages devices of a network, which are the driver's own.
type Manager struct {
	Program string
	Network string
	Devices []string
	// Evidence says how that is known, a line each.
	Evidence []string
	// Leave are the commands that make the program leave the devices alone.
	Leave []string
	// Only are the kinds of changes that it may have made, where it is not known what it does; nil:
	// it is known to manage the devices.
	Only []ChangeKind
}

// ChangeKind is what of a device a change is about.
type ChangeKind string

// The kinds of changes that programs are known for.
const (
	ChangeMAC     ChangeKind = "MAC"
	ChangeMTU     ChangeKind = "MTU"
	ChangeName    ChangeKind = "name"
	ChangeAddress ChangeKind = "address"
	changeOther   ChangeKind = "other"
)

// checkManagers says which programs manage devices of networks. What is wrong on these devices then
// is taken for their work.
func checkManagers(f *Facts) (findings []diagnosis.Finding) {
	for _, m := range f.Managers {
		altered := f.alteredBy(m)
		if m.Only != nil && len(altered) == 0 {
			continue
		}
		manages := fmt.Sprintf("%s manages %s", m.Program, strings.Join(m.Devices, ", "))
		found := diagnosis.Finding{
			Code: diagnosis.DeviceManaged, Level: diagnosis.Warning, Network: m.Network,
			Summary:  manages + ", and may change what the driver has set",
			Evidence: slices.Clone(m.Evidence), Mend: slices.Clone(m.Leave),
		}
		if len(altered) > 0 {
			found.Level = diagnosis.Failure
			found.Summary = manages + " and has changed what the driver had set"
			found.Evidence = atMost(append(found.Evidence, altered...), maxEvidence)
			found.Mend = append(found.Mend, reload)
		}
		findings = append(findings, found)
	}
	return findings
}

// alteredBy returns what is wrong on the devices that a program manages.
func (f *Facts) alteredBy(m Manager) (lines []string) {
	for _, c := range f.Changes {
		device, kind := aboutDevice(c.Change)
		isTheirs := m.Only == nil || slices.Contains(m.Only, kind)
		if isTheirs && c.Network == m.Network && c.Container == "" && slices.Contains(m.Devices, device) {
			lines = append(lines, "to be as it should: "+firstLine(c.Change.String()))
		}
	}
	return lines
}

// aboutDevice returns the device that a change mends, and what of it; "": none.
func aboutDevice(change fmt.Stringer) (name string, kind ChangeKind) {
	switch change := change.(type) {
	case kernel.CreateLink: // the old one may be called otherwise
		return change.Link.Name, ChangeName
	case kernel.SetMTU:
		return change.Name, ChangeMTU
	case kernel.SetMAC:
		return change.Name, ChangeMAC
	case kernel.AddAddr:
		return change.Name, ChangeAddress
	case kernel.DelAddr:
		return change.Name, ChangeAddress
	case kernel.SetUp:
		return change.Name, changeOther
	case kernel.SetMaster:
		return change.Name, changeOther
	case kernel.SetNoLinkLocal:
		return change.Name, changeOther
	case kernel.AddRoute:
		return change.Name, changeOther
	}
	return "", changeOther
}
