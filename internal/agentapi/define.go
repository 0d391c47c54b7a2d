package agentapi

import "encoding/json"

// DefineRequest is a new network whose hosts talk by etcd.
type DefineRequest struct {
	// Config is what was typed, in the configuration that Podman passes to the plugin.
	Config json.RawMessage `json:"config"`
	// Proposed is the agent's answer to an earlier request, if the plugin has found it good. If the answer is
	// the same again, the network is defined, and this host is noted. Otherwise nothing was changed.
	Proposed json.RawMessage `json:"proposed,omitempty"`
}

// Define asks the agent what a new network is to be, or claims what it has proposed.
func (c Client) Define(config, proposed []byte) ([]byte, error) {
	r, err := NewRequest(VerbDefine, DefineRequest{config, proposed})
	if err != nil {
		return nil, err
	}
	response, err := c.callOrStart(r, assignTimeout)
	if isUnknownVerb(err) {
		err = ErrTooOld
	}
	if err == nil && response.Warning != "" {
		c.Warn(response.Warning)
	}
	return response.Data, err
}

// AskOrStart asks the agent, which it starts if it does not run, and reads what it answers.
func AskOrStart[T any](c Client, r Request) (answer T, err error) {
	response, err := c.callOrStart(r, assignTimeout)
	if isUnknownVerb(err) {
		err = ErrTooOld
	}
	if err != nil {
		return answer, err
	}
	return ReadData[T](response)
}
