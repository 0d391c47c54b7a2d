package hostsetup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/enrol"
)

// The files of a member.
const (
	KeyPath     = "/etc/vxlan/key"
	ConfigPath  = config.Path
	ClusterPath = config.ClusterPath
	// joiningPath has what a join that was interrupted must know.
	joiningPath = "/var/lib/vxlan/joining"
)

// Host is what is touched of this host.
type Host interface {
	// ReadFile and WriteFile are for files of root alone. A file is replaced as a whole.
	ReadFile(path string) ([]byte, error)
	WriteFile(path string, data []byte) error
	Remove(path string) error
	// Name is the host's name.
	Name() string
	// OwnAddress returns the address by which the host talks to others, of which it knows some.
	OwnAddress(known []netip.Addr) (netip.Addr, error)
	// Addresses returns those of the interfaces that are up, by which others may reach the host.
	Addresses() ([]InterfaceAddress, error)
	// MTU is that of the interface that has the address.
	MTU(addr netip.Addr) (int, error)
	// KeepAgentRunning makes the agent run with the configuration as it is now, and after each boot.
	KeepAgentRunning() error
	// RefreshAgent makes an agent that runs follow the configuration.
	RefreshAgent() error
	// Status returns what the host's agent knows.
	Status() (agentapi.StatusReport, error)
	CreateToken(ttl time.Duration) (string, error)
	// LeaveClusters takes the host out of its clusters: the others forget it.
	LeaveClusters() error
	// GossipContainers names the containers that use networks with discovery=gossip.
	GossipContainers() ([]string, error)
	// OpenPath prepares the ways to the issuer for being tried.
	OpenPath(spec enrol.PathSpec) enrol.Path
}

// InterfaceAddress is an address of this host's.
type InterfaceAddress struct {
	Interface string
	Addr      netip.Addr
}

func (a InterfaceAddress) String() string { return fmt.Sprintf("%v (%s)", a.Addr, a.Interface) }

// Report shows the user what is done.
type Report func(format string, args ...any)

// fileReader reads files.
type fileReader interface {
	ReadFile(path string) ([]byte, error)
}

// readIfExists returns no content for a file that is not there.
func readIfExists(h fileReader, path string) (data []byte, exists bool, err error) {
	data, err = h.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// member is what a host's files say.
type member struct {
	texts      config.Texts // the configuration
	settings   config.Config
	keyPath    string // where the key is, or is to be
	keys       []clusterkey.Key
	configured bool // the configuration names a key file
}

// readMember reads the host's files.
func readMember(h Host) (m member, err error) {
	main, _, mainErr := readIfExists(h, ConfigPath)
	cluster, _, clusterErr := readIfExists(h, ClusterPath)
	if err := errors.Join(mainErr, clusterErr); err != nil {
		return m, fmt.Errorf("read configuration: %w", err)
	}
	m.texts = config.Texts{Main: string(main), Cluster: string(cluster)}
	if m.settings, err = m.texts.ParseSettings(); err != nil {
		return m, config.FilesAt(ConfigPath).Explain(m.texts, err)
	}
	m.keyPath, m.configured = KeyPath, m.settings.KeyFile != ""
	if m.configured {
		m.keyPath = m.settings.KeyFile
	}
	data, exists, err := readIfExists(h, m.keyPath)
	if err != nil {
		return m, fmt.Errorf("read key file: %w", err)
	}
	if exists {
		m.keys, err = clusterkey.Parse(data)
	}
	return m, err
}

// complete makes the configuration that of a member.
func (m member) complete(h Host, want config.Membership, report Report) error {
	text, added, err := want.Complete(m.texts)
	if err != nil {
		return fmt.Errorf("configuration:\n%w", err)
	}
	if len(added) == 0 {
		return nil
	}
	if err := h.WriteFile(ClusterPath, []byte(text)); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	report("%s: added %s", ClusterPath, strings.Join(added, ", "))
	return nil
}

// waitUntil polls until ok, or returns an error.
func waitUntil(ctx context.Context, limit time.Duration, ok func() bool) bool {
	for until := time.Now().Add(limit); ; {
		if ok() {
			return true
		}
		if !time.Now().Before(until) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pollInterval):
		}
	}
}

const pollInterval = 100 * time.Millisecond

// joining is how far a join has come.
type joining struct {
	Joiner []byte `json:"joiner"` // enrol.Joiner.ID
	Token  string `json:"token"`  // its ID
	// KeyWritten tells that the key file is this join's, and Confirmed that the other host knows so.
	KeyWritten bool `json:"key_written,omitempty"`
	Confirmed  bool `json:"confirmed,omitempty"`
}

// loadJoining returns what an interrupted join has left, or begins one.
func loadJoining(h Host, tokenID string) (j joining, resumed bool, err error) {
	data, exists, err := readIfExists(h, joiningPath)
	if err != nil {
		return j, false, fmt.Errorf("read %s: %w", joiningPath, err)
	}
	if exists && json.Unmarshal(data, &j) == nil && len(j.Joiner) == len(enrol.Secret{}) {
		if j.Token != tokenID && j.Confirmed {
			return j, false, fmt.Errorf(
				"this host has joined by token %s, but its agent was not made to run; go on with that token, or type `vxlanctl "+
					"leave` first", j.Token)
		}
		if j.Token == tokenID {
			return j, true, nil
		}
	}
	id := enrol.NewSecret()
	// The key of an earlier join that nobody confirmed may be replaced.
	return joining{Joiner: id[:], Token: tokenID, KeyWritten: j.KeyWritten}, exists, nil
}

func (j joining) save(h Host) error {
	data, err := json.Marshal(j)
	if err == nil {
		err = h.WriteFile(joiningPath, data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", joiningPath, err)
	}
	return nil
}
