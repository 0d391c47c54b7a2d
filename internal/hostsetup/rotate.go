package hostsetup

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/clusterkey"
)

// rotationPath has the new key while hosts change to it.
const rotationPath = "/var/lib/vxlan/key-rotation"

// RotateOptions are what a user may choose.
type RotateOptions struct {
	// Without names hosts that do not get the new key, and are forgotten.
	Without []string
	// To is the ID of the new key, which this host has already; "": a random one.
	To string
}

// rotation is a change of keys on all hosts.
type rotation struct {
	KeyHost
	options RotateOptions
	report  Report
	key     clusterkey.Key
}

// Rotate changes the key on all hosts: each understands the new one before any host uses it, and all
// use it before the old one goes. It stops at the first step that a host does not do, and goes on
// from there when it is called again. It returns the ID of the new key.
func Rotate(h KeyHost, o RotateOptions, report Report) (keyID string, err error) {
	r := rotation{KeyHost: h, options: o, report: report}
	hosts, _, err := r.participants()
	if err != nil {
		return "", err
	}
	if err := r.chooseKey(hosts); err != nil {
		return "", err
	}
	id := r.key.ID()
	err = r.doStepOnAll(agentapi.KeyInstall, func(keys []string) bool { return slices.Contains(keys, id) })
	if err == nil {
		err = r.doStepOnAll(agentapi.KeyUse, func(keys []string) bool { return len(keys) > 0 && keys[0] == id })
	}
	if err == nil {
		err = r.doStep(agentapi.KeyRemove)
	}
	if err != nil {
		return "", err
	}
	if err := h.Remove(rotationPath); err != nil {
		return "", err
	}
	return id, r.forgetRetired()
}

// participants returns the hosts that are to get the key, and those that are not. A host that is known by etcd
// alone is not in the cluster of the key.
func (r *rotation) participants() (stay, retired []agentapi.HostStatus, err error) {
	hosts, err := r.Hosts()
	if err != nil {
		return nil, nil, err
	}
	hosts = withKey(hosts)
	for _, name := range r.options.Without {
		if !slices.ContainsFunc(hosts, func(h agentapi.HostStatus) bool { return isCalled(h, name) }) {
			return nil, nil, fmt.Errorf("rotate key: no host is called %q; `vxlanctl host ls` lists them", name)
		}
	}
	for _, h := range hosts {
		isRetired := slices.ContainsFunc(r.options.Without, func(name string) bool { return isCalled(h, name) })
		switch {
		case isRetired && h.Self:
			return nil, nil, errors.New("rotate key: this host cannot be retired from itself; type the command on another one")
		case isRetired:
			retired = append(retired, h)
		default:
			stay = append(stay, h)
		}
	}
	return stay, retired, nil
}

func isCalled(h agentapi.HostStatus, name string) bool {
	return strings.EqualFold(h.HostName, name) || strings.EqualFold(h.Name, name) || h.ID == name ||
		h.Addr.IsValid() && h.Addr.String() == name
}

// chooseKey finds the key of a rotation that is under way, or makes one. Nothing is changed while a
// host does not answer.
func (r *rotation) chooseKey(hosts []agentapi.HostStatus) error {
	request, err := agentapi.NewRequest(agentapi.VerbKeys, nil)
	if err != nil {
		return err
	}
	all := askKeys(r.KeyHost, hosts, request)
	if err := r.stopped("rotate key", all); err != nil {
		return err
	}
	for _, h := range all {
		switch {
		case h.File == "":
			return fmt.Errorf("rotate key: host %s has no key", h.Host.Name)
		case h.Fixed:
			return fmt.Errorf("rotate key: host %s has rotate_keys = false in its vxland.toml; change the key files by hand",
				h.Host.Name)
		}
	}
	data, underWay, err := readIfExists(r, rotationPath)
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", rotationPath, err)
	case r.options.To != "":
		return r.takeOwnKey(all)
	case underWay:
		if r.key, err = clusterkey.ParseLine(string(data)); err != nil {
			return fmt.Errorf("read %s: %w", rotationPath, err)
		}
		r.report("going on with key %s", r.key.ID())
		return nil
	}
	for _, h := range all {
		if !slices.Equal(h.Keys, all[0].Keys) || len(h.Keys) > 1 {
			return fmt.Errorf(
				"rotate key: hosts have several keys (`vxlanctl key ls`), so a rotation is under way, or was left by hand; " +
					"finish it on the host where it began, or give the key that all are to use: `vxlanctl key rotate --to KEY`")
		}
	}
	r.key = clusterkey.New()
	r.report("the new key is %s", r.key.ID())
	return r.saveKey()
}

// takeOwnKey goes to the key that was asked for, which must be one of this host's.
func (r *rotation) takeOwnKey(all []HostKeys) error {
	file, err := r.ReadFile(all[0].File)
	if err != nil {
		return err
	}
	keys, err := clusterkey.Parse(file)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.ID() == r.options.To {
			r.key = k
			return r.saveKey()
		}
	}
	return fmt.Errorf("rotate key: this host has no key %s; it has %s", r.options.To, strings.Join(all[0].Keys, ", "))
}

func (r *rotation) saveKey() error {
	if err := r.WriteFile(rotationPath, []byte(r.key.Line())); err != nil {
		return fmt.Errorf("write %s: %w", rotationPath, err)
	}
	return nil
}

// doStep does a step on all hosts that there are by now: one may have joined meanwhile.
func (r *rotation) doStep(step agentapi.KeyStep) error {
	hosts, _, err := r.participants()
	if err != nil {
		return err
	}
	change := agentapi.KeyChange{Step: step, ID: r.key.ID()}
	if step == agentapi.KeyInstall {
		change.Key = r.key.Line()
	}
	request, err := agentapi.NewRequest(agentapi.VerbKeyChange, change)
	if err != nil {
		return err
	}
	// Nobody begins a step while a host is away that would miss it.
	if err := r.stopped(stepText[step], r.onlyUnreachable(hosts)); err != nil {
		return err
	}
	all := askKeys(r.KeyHost, hosts, request)
	done := 0
	for _, h := range all {
		if h.Err == nil {
			done++
		}
	}
	r.report("%s: %d of %d hosts", stepText[step], done, len(all))
	return r.stopped(stepText[step], all)
}

// maxRounds is more often than hosts join during a step.
const maxRounds = 5

// doStepOnAll does a step until all hosts that there are have done it: one may join meanwhile, with
// the keys from before.
func (r *rotation) doStepOnAll(step agentapi.KeyStep, done func(keys []string) bool) error {
	request, err := agentapi.NewRequest(agentapi.VerbKeys, nil)
	if err != nil {
		return err
	}
	for range maxRounds {
		if err := r.doStep(step); err != nil {
			return err
		}
		hosts, _, err := r.participants()
		if err != nil {
			return err
		}
		all := askKeys(r.KeyHost, hosts, request)
		if err := r.stopped(stepText[step], all); err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(h HostKeys) bool { return !done(h.Keys) }) {
			return nil
		}
	}
	return errors.New("rotate key: hosts keep joining; type the command again")
}

var stepText = map[agentapi.KeyStep]string{
	agentapi.KeyInstall: "install the key", agentapi.KeyUse: "use the key", agentapi.KeyRemove: "remove the old key",
}

func (r *rotation) onlyUnreachable(hosts []agentapi.HostStatus) (all []HostKeys) {
	for _, h := range hosts {
		if !h.Reachable {
			all = append(all, HostKeys{Host: h, Err: errors.New("does not answer")})
		}
	}
	return all
}

// stopped returns an error if a host did not answer, and says how to go on.
func (r *rotation) stopped(what string, all []HostKeys) error {
	var failed, names []string
	for _, h := range all {
		if h.Err != nil {
			failed = append(failed, fmt.Sprintf("host %s: %v", h.Host.Name, h.Err))
			names = append(names, h.Host.HostName)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	again := "vxlanctl key rotate"
	for _, w := range r.options.Without {
		again += " --without " + w
	}
	without := again
	for _, n := range names {
		without += " --without " + n
	}
	return fmt.Errorf("%s: stopped, since all hosts must do each step:\n  %s\n"+
		"All hosts still understand each other. When it answers, type `%s` again, which goes on from here.\n"+
		"If it is gone for good, type `%s`", what, strings.Join(failed, "\n  "), again, without)
}

// forgetTimeout is longer than it takes until a host that uses another key counts as unreachable.
const forgetTimeout = 30 * time.Second

// forgetRetired forgets the hosts that did not get the key, once they are not understood any more.
func (r *rotation) forgetRetired() error {
	var errs []error
	for until := time.Now().Add(forgetTimeout); ; {
		_, retired, err := r.participants()
		if err != nil {
			return errors.Join(errs...) // they are forgotten: nobody is called so any more
		}
		left := 0
		for _, h := range retired {
			if h.Reachable {
				left++
				continue
			}
			name, _, err := r.ForgetHost(h.Addr.String())
			if err != nil {
				errs = append(errs, err)
				continue
			}
			r.report("host %s is forgotten; it has no key of this cluster any more", name)
			r.options.Without = slices.DeleteFunc(r.options.Without, func(n string) bool { return isCalled(h, n) })
		}
		if left == 0 || len(errs) > 0 {
			return errors.Join(errs...)
		}
		if time.Now().After(until) {
			return fmt.Errorf("forget host: %s still answers; type `vxlanctl host forget` when it does not",
				r.options.Without[0])
		}
		time.Sleep(pollInterval)
	}
}

// MarshalJSON is for listings: an error is a text there.
func (k HostKeys) MarshalJSON() ([]byte, error) {
	text := ""
	if k.Err != nil {
		text = k.Err.Error()
	}
	if k.Keys == nil {
		k.Keys = []string{} // a list in any case
	}
	return json.Marshal(struct {
		Host string   `json:"host"`
		Addr string   `json:"address"`
		Keys []string `json:"keys"`
		Err  string   `json:"error,omitempty"`
	}{k.Host.HostName, k.Host.Addr.String(), k.Keys, text})
}
