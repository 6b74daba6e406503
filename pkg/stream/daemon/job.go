// Package daemon is the process that streams an image: it starts in the initramfs, makes the block device that the live system is mounted
// from, stays when the initramfs is gone, and ends when the image is complete.
//
// It is started with Argument, under the name Name, in a mount namespace of its own (CLONE_NEWNS), with a pipe to read from and one to
// write to. It reads a Job, then Commands; it writes Messages. All are JSON, a value a line. Both pipes may end at any time: the one that
// is read from counts as Command.Fill then, and what there is to say goes to the kernel's log.
//
// Since it serves the root file system, it must not need it: it has a root folder of its own in memory, its memory is locked, and the
// kernel's out-of-memory killer passes it by. The first letter of its name keeps systemd from ending it
// (https://systemd.io/ROOT_STORAGE_DAEMONS); signals that ask for the end do nothing. SIGKILL ends it, and with it, until the image is
// complete, the block device.
//
// It outlives what may happen to its network. The addresses of the servers are kept; where nothing comes any more, their names are looked up
// again, also with the resolvers that the live system knows by then. Connections from an address that the machine has no more end after a
// short silence, and are made anew. An address by which the servers are reached does not expire as long as it is needed. All times are those
// of the monotonic clock, so that the live system may set its clock: a certificate that is judged by a wrong one is judged again later.
//
// It also outlives the live system's end, as far as that is told to systemd: units that it leaves in /run show it what systemd was told, and
// what systemd needs for that is fetched early. When the machine is to end, and only then, what waits for a part that does not come gets an I/O
// error after a while; and if the machine does not end even so, the process ends it, as systemd was told to.
//
// Beside the kernel's log, the file at StatusPath tells the live system how it goes, as JSON: see Status. It is replaced as a whole every few
// seconds while something changes, and stays when the process has ended.
package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/stream"
)

// How the process is started.
const (
	// Name is its argument number 0, and Argument that number 1.
	Name, Argument = "@stream/liveboot", "-stream"
	// InputFD and OutputFD are its ends of the pipes.
	InputFD, OutputFD = 3, 4
)

// A Job is what the process is to do.
type Job struct {
	// Source is where the image is. Its Signature is not used, and must be nil: what Digest says has been found out before.
	Source fetch.Source
	// Chunks is the manifest of the image's chunks, empty for none. Its root has been compared before.
	Chunks []byte
	// Device is where the image will be complete: a device in /dev, from Offset on, in bytes. It is empty if the image is never to be
	// complete.
	Device string
	Offset int64
	// Mapped is the device mapper's name for the device that is mounted.
	Mapped string
	// Rate bounds what is fetched that nobody waits for, in bytes per second; 0 for no bound. Memory bounds what chunks take, in bytes; 0
	// means the default.
	Rate, Memory int64
	// ChunkSize is what is fetched at a time, Ahead what is fetched before it is asked for where reading is sequential, both in bytes. 0 means
	// the default, and a negative Ahead none.
	ChunkSize, Ahead int64
	// Reboot has the machine rebooted where the whole image turns out not to have its digest. Without it that is only said.
	Reboot bool
	// Keep are files and folders of the initramfs that are needed later, beside /etc: certificates that the options name, for example.
	Keep []string
	// Completion is for Hooks.
	Completion json.RawMessage
}

// wireJob is a Job on its way: what a fetch.Source holds is shown to nobody, and neither to an encoder.
type wireJob struct {
	Job
	URLs    []string
	Proxy   string
	User    string
	Headers []string
}

// Write sends the job.
func (j Job) Write(w io.Writer) error {
	if j.Source.Signature != nil {
		return errors.New("send a job: its source has a signature to verify, which is to be done before")
	}
	sent := wireJob{Job: j, Proxy: string(j.Source.Proxy), User: string(j.Source.User)}
	for _, u := range j.Source.URLs {
		sent.URLs = append(sent.URLs, string(u))
	}
	for _, h := range j.Source.Headers {
		sent.Headers = append(sent.Headers, string(h.Value))
	}
	if err := json.NewEncoder(w).Encode(sent); err != nil {
		return fmt.Errorf("send a job: %w", err)
	}
	return nil
}

// readJob receives a job.
func readJob(d *json.Decoder) (Job, error) {
	var received wireJob
	if err := d.Decode(&received); err != nil {
		return Job{}, fmt.Errorf("receive a job: %w", err)
	}
	s := received.Job.Source
	if len(received.URLs) != len(s.URLs) || len(received.Headers) != len(s.Headers) {
		return Job{}, errors.New("receive a job: it was not written by Write")
	}
	for i, u := range received.URLs {
		s.URLs[i] = fetch.URL(u)
	}
	for i, value := range received.Headers {
		s.Headers[i].Value = fetch.Secret(value)
	}
	s.Proxy, s.User = fetch.URL(received.Proxy), fetch.Secret(received.User)
	received.Job.Source = s
	return received.Job, nil
}

// A Command is what the process is told later. Exactly one field is set.
type Command struct {
	// Fill says that what nobody waits for may be fetched, too: the root is mounted.
	Fill bool `json:",omitempty"`
}

// A Message is what the process tells. Exactly one field is set, and Loud beside Event.
type Message struct {
	// Ready says that the device can be mounted.
	Ready *Ready `json:",omitempty"`
	// Failed says why there is none. The process ends.
	Failed string `json:",omitempty"`
	// Event is a line for people. Loud tells that it is one which a person at the console should see.
	Event string `json:",omitempty"`
	Loud  bool   `json:",omitempty"`
	// Progress comes every second while something changes.
	Progress *stream.Stats `json:",omitempty"`
	// Mismatch says that all is there, but that it is not the image. The process goes on, with what there is.
	Mismatch *Mismatch `json:",omitempty"`
	// Complete says that the device needs neither the process nor the server any more. The process ends.
	Complete bool `json:",omitempty"`
}

// Ready is the device that can be mounted.
type Ready struct {
	// Device is to be mounted, Beneath is beneath it, and only to be named to people.
	Device, Beneath string
	// Size of the image in bytes, and where it was found, without a password.
	Size int64
	URL  string
}

// Mismatch is an image with another digest than it should have.
type Mismatch struct {
	Want, Got fetch.Digest
	// Reboot tells that the machine will be rebooted for it in a few seconds.
	Reboot bool
}

// String says what to do.
func (m Mismatch) String() string {
	text := fmt.Sprintf("the image that the live system runs from is not the one it should be, do not trust it: its %s is %s, and should be %s",
		m.Want.Algorithm, m.Got.Hex, m.Want.Hex)
	if m.Reboot {
		text += fmt.Sprintf("; this machine reboots in %v", grace)
	}
	return text
}
