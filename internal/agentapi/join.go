package agentapi

import (
	"encoding/json"
	"fmt"
	"time"
)

// TokenRequest says which token is meant.
type TokenRequest struct {
	ID  string        `json:"id,omitempty"`  // to revoke it; a part is enough
	TTL time.Duration `json:"ttl,omitempty"` // to create it
}

// KeyStep is a step of a change of keys.
type KeyStep string

// The steps, in their order. Each is done on all hosts before the next one begins.
const (
	KeyInstall KeyStep = "install" // from then on the host understands the key
	KeyUse     KeyStep = "use"     // from then on it encrypts with it
	KeyRemove  KeyStep = "remove"  // of all other keys
)

// KeyChange is a step on one host.
type KeyChange struct {
	Step KeyStep `json:"step"`
	ID   string  `json:"id"`            // of the new key
	Key  string  `json:"key,omitempty"` // a line of a key file, to install it
}

// KeysReport says which keys a host has, by their IDs.
type KeysReport struct {
	File string   `json:"file"` // "": the host has none
	Keys []string `json:"keys"` // the first encrypts, the others only decrypt
	// Fixed tells that other hosts may not change the file (rotate_keys = false).
	Fixed bool `json:"fixed,omitempty"`
}

// NewRequest returns a request that says data.
func NewRequest(verb Verb, data any) (Request, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Request{}, fmt.Errorf("ask vxland: %w", err)
	}
	return Request{Verb: verb, Data: raw}, nil
}

// CallData sends a request to the agent at path, and reads what it answers.
func CallData[T any](path string, verb Verb, data any) (answer T, err error) {
	r, err := NewRequest(verb, data)
	if err != nil {
		return answer, err
	}
	response, err := Call(path, r, time.Now().Add(statusTimeout))
	if err != nil {
		return answer, err
	}
	return ReadData[T](response)
}

// ReadData reads what a response says.
func ReadData[T any](r Response) (data T, err error) {
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return data, fmt.Errorf("read the answer of vxland: %w", err)
	}
	return data, nil
}
