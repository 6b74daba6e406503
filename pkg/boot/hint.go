package boot

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/ftp"
	"github.com/liveboot/liveboot/pkg/fetch/httpx"
	"github.com/liveboot/liveboot/pkg/fetch/tftp"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/mediacheck"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/target"
)

// Hint returns a sentence on what to do about an error of Run, or "" where the error says it all.
func Hint(err error) string {
	for _, h := range hints() {
		if h.applies(err) {
			return h.sentence
		}
	}
	return ""
}

type hint struct {
	applies  func(error) bool
	sentence string
}

func hints() []hint {
	const damaged = "repair it from a rescue system (fsck.ext4 or xfs_repair), or start afresh with rd.kiwi.live.reset, or without the file that holds it beside an ISO, which loses what is on it; " +
		"rd.live.overlay.persistent=auto boots without it"
	return []hint{
		{isAny(mediacheck.ErrNone), "take rd.live.check (or mediacheck) off the line, or have the image made with a checksum (implantisomd5, tagmedia); a file <url>.sha256 or rd.liveboot.sha256= verify any image"},
		{as[*mediacheck.MismatchError], "the image is damaged, or its medium was changed: a writable layer behind it changes its partition table"},
		{as[*KernelError], "put a pair made of this ISO on the server (mkinitramfs -iso), or boot it with the running kernel, whose modules it may lack: rd.liveboot.handoff=switch_root; an image with a damaged kernel may be damaged elsewhere"},
		{diskFailed, "the disk, its cable or its controller failed: look at the kernel's messages (dmesg in the shell); the image on it is not booted"},
		{as[*target.TruncatedError], "the file on the server is incomplete, or the server cut it off: compare its size and checksum with the original"},
		{isAny(unix.ECONNRESET, unix.EPIPE, io.ErrUnexpectedEOF), "the connection was cut, or the file changed on the server, before the image had arrived; nothing was booted. Look at the server's log"},
		{as[*ForeignDiskError], "to overwrite it for good, add rd.kiwi.live.reset to the kernel command line; otherwise name another disk in rd.kiwi.live.system="},
		{as[*OtherImageError], "rd.kiwi.live.reset brings the new image to the disk, and loses what is on it; to boot the old one give its digest, or none"},
		{as[*deploy.SpaceError], "use a larger disk or a smaller image; without rd.live.overlay.persistent no place is needed behind the image"},
		{as[*deploy.CompareError], "the disk, its cable or its controller is broken, or it is smaller than it says; the image on it is not booted"},
		{as[*overlay.LayerError], damaged},
		{as[*deploy.OccupiedError], damaged},
		{as[*NotKeptError], "without rd.live.overlay.persistent, or with rd.live.overlay.persistent=auto, what the live system writes is kept in memory only"},
		{as[*NoFileError], "check the path in iso-scan/filename= (it begins at the top of its file system, and large and small letters differ); file systems of other kinds than those of Linux, and FAT, need a driver in the image"},
		{as[*disk.NotFoundError], "check the name in rd.kiwi.live.system= or root=live: against this list; if the disk is not in it, its driver may be missing in the image"},
		{tooLarge(true), "give the machine more memory, or use a smaller image; rd.liveboot.stream=lazy boots one that is larger than the memory"},
		{tooLarge(false), "take ramdisk_size= off the kernel command line, so that the RAM disk fits the image, or raise it (it counts in KiB)"},
		{status(404), "check the path in root=live: against the files on the server"},
		{status(401, 403), "the server does not let us read the image: check its permissions"},
		{as[*httpx.StatusError], "look at the server's log"},
		{as[*httpx.RedirectError], "look at the server's redirects, or write the address they lead to into root=live:"},
		{as[*fetch.StallError], "the server or the network between stopped; look at the server's log and at the cable"},
		{as[*fetch.DigestError], "the file on the server is another one, or damaged, or the digest on the kernel command line is out of date: compare with sha256sum on the server"},
		{as[*UnverifiableError], "give rd.liveboot.sha256= as well, by which a download is verified where an image cannot be streamed; or take rd.liveboot.chunks= off the line"},
		{as[*ManifestError], "make the manifest of the image that is on the server now (mkinitramfs -manifest), put it beside the image, and give what it says in rd.liveboot.chunks=; one that is out of date must not stay there"},
		{as[*fetch.SignatureError], "nothing that is not signed by the site's key is booted: sign the file with the digest, or mend the key (rd.liveboot.key=, or /etc/liveboot/keys in the initramfs)"},
		{as[*fetch.UnframedError], "put the image's digest beside it (<url>.sha256), or into rd.liveboot.sha256="},
		{as[*fetch.MaxTimeError], "raise --max-time in rd.kiwi.live.curl_options=, or look for what makes the network slow"},
		{as[*dolly.WaitError], "start the dolly server when this machine waits, with its address in the list of the hosts; or raise -a in rd.kiwi.live.dolly_options="},
		{as[*dolly.LostError], "look at the machine that is named; then start the dolly server again"},
		{as[*ftp.ReplyError], "check the path, and the name and the password in root=live:, against the server's log"},
		{as[*tftp.ReplyError], "check the path in root=live: against the files on the TFTP server"},
		{notYetValid, "the clock of this machine is wrong: set it in the firmware"},
		{as[x509.CertificateInvalidError], "the server's certificate is not valid any more: renew it (or the clock of this machine runs ahead)"},
		{as[x509.UnknownAuthorityError], "the server's certificate is of an authority that is not in this image: put its certificate into the image as /etc/ssl/certs/<name>.pem (mkinitramfs -file)"},
		{as[x509.HostnameError], "the certificate is for another name than the one in root=live:"},
		{as[*tls.CertificateVerificationError], "check the server's certificate"},
		{as[*net.DNSError], "check the name in root=live: and the resolvers (nameserver=, or those from DHCP)"},
		{is(unix.ECONNREFUSED), "no server listens there: check address and port in root=live:, and that the server runs"},
		{isAny(unix.EHOSTUNREACH, unix.ENETUNREACH), "check the address in root=live:, the gateway, and the server's network"},
		{timedOut, "the server does not answer at all: check its address, and firewalls on the way"},
		{isAny(unix.ENOSPC, unix.ENOMEM), "the memory ran out while the image was written: give the machine more, or use a smaller image"},
		{inStage(plan.Target, unix.EBUSY), "is it in use by something that was started in the shell, or by an array (md, multipath, LVM) that holds it?"},
		{inStage(plan.Target, iso.ErrNotISO), "what root=live: or iso-scan/filename= names is no ISO"},
		{is(unix.EIO), "the device failed: look at the kernel's messages (dmesg in the shell)"},
		{is(iso.ErrNotISO), "what the server sent is no ISO: look at the URL in a browser, it may be an error page"},
		{as[*live.NoRootError], "is it a live ISO? Other folders are named by rd.live.dir= and rd.live.squashimg="},
		{as[*handoff.InitError], "the live system's root has no init that can run here; another one is named by init="},
		{is(module.ErrNotFound), "the image lacks a driver: build kernel and initrd together with mkinitramfs, for the kernel that is booted"},
		{inStage(plan.Devices, fs.ErrNotExist), "kernel and initrd do not belong together: put both files of one build on the server"},
		{inStage(plan.Live, nil), "the image may be damaged: look at the kernel's messages (dmesg in the shell), and compare the file's checksum with the original"},
		{inStage(plan.Overlay, nil), "look at the kernel's messages (dmesg in the shell); if rootflags= is on the command line, try without"},
		{is(network.ErrNoAnswer), "the interfaces have addresses, but no packet comes back from the server in root=live:: check its name and port, that it runs, the gateway, and firewalls"},
		{inStage(plan.Network, nil), "check cable, switch port and DHCP server; a missing driver is seen in the shell with `ip link` and `dmesg`"},
	}
}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isAny(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}

// diskFailed tells errors of a disk from those of the network and of memory, which have the same numbers: they name the device.
func diskFailed(err error) bool {
	var path *fs.PathError
	if !errors.As(err, &path) || !strings.HasPrefix(path.Path, "/dev/") || path.Path == target.RAMDisk {
		return false
	}
	return isAny(unix.EIO, unix.ENODATA, unix.EREMOTEIO, unix.ENOLINK, unix.ETIMEDOUT, unix.ENOSPC, io.ErrUnexpectedEOF)(path.Err)
}

func tooLarge(memory bool) func(error) bool {
	return func(err error) bool {
		var e *target.TooLargeError
		return errors.As(err, &e) && e.Memory == memory
	}
}

func status(codes ...int) func(error) bool {
	return func(err error) bool {
		var e *httpx.StatusError
		if !errors.As(err, &e) {
			return false
		}
		for _, code := range codes {
			if e.Code == code {
				return true
			}
		}
		return false
	}
}

func notYetValid(err error) bool {
	var e x509.CertificateInvalidError
	return errors.As(err, &e) && e.Reason == x509.Expired && time.Now().Before(e.Cert.NotBefore)
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func inStage(stage plan.Stage, target error) func(error) bool {
	return func(err error) bool {
		var e *StageError
		return errors.As(err, &e) && e.Stage == stage && (target == nil || errors.Is(err, target))
	}
}
