package signature

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/liveboot/liveboot/pkg/needs"
)

var message = []byte("0123456789abcdef  image.iso\n")

// Times of the tests: keys are made in made, live for ten days unless they live for ever, and sign in signed.
var (
	made   = time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	signed = made.AddDate(0, 0, 1)
	late   = made.AddDate(0, 0, 30)
)

// A gnupg is GnuPG with a folder of its own.
type gnupg struct {
	t       testing.TB
	program string
	home    string
}

func newGnuPG(t testing.TB) gnupg {
	t.Helper()
	g := gnupg{t: t, program: needs.Program(t, "gpg", "gpg")}
	needs.Program(t, "gpg-agent", "gpg-agent")
	// The path of its socket must be short.
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	g.home = home
	t.Cleanup(func() {
		if kill := exec.Command("gpgconf", "--homedir", home, "--kill", "gpg-agent"); kill.Run() == nil {
			os.RemoveAll(home)
		}
	})
	return g
}

func (g gnupg) run(at time.Time, stdin []byte, args ...string) []byte {
	g.t.Helper()
	// With the exclamation mark the time stands still: a key made by a slow command would else be one of the future for the next.
	base := []string{"--homedir", g.home, "--batch", "--yes", "--quiet", "--no-tty", "--passphrase", "", "--pinentry-mode", "loopback",
		"--faked-system-time", at.Format("20060102T150405!"), "--trust-model", "always", "--allow-weak-digest-algos"}
	cmd := exec.Command(g.program, append(base, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		g.t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.Bytes()
}

// key makes a key whose fingerprint it returns.
func (g gnupg) key(user, algorithm, usage, expire string) string {
	g.t.Helper()
	g.run(made, nil, "--quick-generate-key", user, algorithm, usage, expire)
	return g.fingerprints(user)[0]
}

// fingerprints lists those of a key and of its subkeys.
func (g gnupg) fingerprints(user string) (all []string) {
	g.t.Helper()
	for line := range strings.Lines(string(g.run(made, nil, "--with-colons", "--with-subkey-fingerprint", "--list-keys", user))) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			all = append(all, fields[9])
		}
	}
	return all
}

func (g gnupg) export(users ...string) []byte {
	return g.run(signed, nil, append([]string{"--export"}, users...)...)
}

func (g gnupg) sign(user string, more ...string) []byte {
	return g.run(signed, message, append([]string{"--local-user", user, "--output", "-"}, append(more, "--detach-sign")...)...)
}

// revoke makes a revocation of a key, for the reason of GnuPG's menu.
func (g gnupg) revoke(user, reason string, more ...string) []byte {
	g.t.Helper()
	return g.run(signed, []byte("y\n"+reason+"\n\ny\n"), append(more, "--command-fd", "0", "--no-batch", "--output", "-", "--gen-revoke", user)...)
}

// revokeSubkey revokes the first subkey of a key.
func (g gnupg) revokeSubkey(user string, more ...string) {
	g.t.Helper()
	g.run(signed, []byte("key 1\nrevkey\ny\n0\n\ny\nsave\n"), append(more, "--command-fd", "0", "--no-batch", "--edit-key", user)...)
}

// A piece is a packet and its bytes.
type piece struct {
	packet packet.Packet
	raw    []byte
}

// pieces takes a keyring or a signature apart.
func pieces(t *testing.T, data []byte) (all []piece) {
	t.Helper()
	in := bytes.NewReader(data)
	for r := packet.NewReader(in); ; {
		start := len(data) - in.Len()
		p, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, piece{p, bytes.Clone(data[start : len(data)-in.Len()])})
	}
}

// body is what is in a packet, behind a header of the older form, which GnuPG writes: of one byte and one or two for the length.
func body(raw []byte) []byte { return raw[2+raw[0]&1:] }

// without leaves a user and what is said of him out of a key.
func without(t *testing.T, key []byte, user string) (rest []byte) {
	t.Helper()
	skip := false
	for _, p := range pieces(t, key) {
		if _, ok := p.packet.(*packet.Signature); !ok {
			id, ok := p.packet.(*packet.UserId)
			skip = ok && id.Id == user
		}
		if !skip {
			rest = append(rest, p.raw...)
		}
	}
	return rest
}

// subkeys returns what is behind the primary key and its users.
func subkeys(t *testing.T, key []byte) (rest []byte) {
	t.Helper()
	for _, p := range pieces(t, key) {
		if k, ok := p.packet.(*packet.PublicKey); ok && k.IsSubkey || rest != nil {
			rest = append(rest, p.raw...)
		}
	}
	return rest
}
