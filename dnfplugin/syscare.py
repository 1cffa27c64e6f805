"""dnf plugin of SysCare: live patches in the day of a dnf user.

It lists and installs live patches, and reports what a transaction has done to running
processes. What it knows of patches it has from their packages (Provides), from
updateinfo, and from syscare-hook, which does the work; see docs/packages.md.
"""

import configparser
import gzip
import json
import lzma
import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

import dnf
import dnf.cli
import dnf.transaction
import hawkey
from dnf.i18n import _

HELPER = "/usr/libexec/syscare/syscare-hook"
VERBS = ("apply", "active", "deactive", "remove", "accept")
ACTIVE = ("ACTIVED", "ACCEPTED")
PROVIDED = re.compile(r"^syscare-(target|patch|cve)\(([^)]+)\)(?: = (\S+))?$")


def helper(*args):
    """Calls syscare-hook and returns what it prints; its errors go to the terminal."""
    try:
        return subprocess.run((HELPER,) + args, stdout=subprocess.PIPE, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError) as e:
        raise dnf.exceptions.Error(_("syscare-hook {} failed: {}").format(args[0], e))


class HotPatch:
    """A package of a live patch, installed or to be had."""

    def __init__(self, package):
        self.package, self.cves, self.target, self.evr, self.patch = package, set(), "", "", ""
        for provided in package.provides:
            match = PROVIDED.match(str(provided))
            if not match:
                continue
            kind, name, version = match.groups()
            if kind == "cve":
                self.cves.add(name)
            elif kind == "target":
                self.target, self.evr = name, version
            else:
                self.patch = name.split("/", 1)[-1]

    @property
    def name(self):
        """The name by which syscare knows it."""
        return "%s-%s/%s-%s" % (self.target, self.evr.split(":", 1)[-1], self.patch, self.package.evr)

    def called(self, text):
        package = self.package
        return text in (self.name, self.name.rsplit("-", 2)[0], package.name, str(package), str(package).rsplit(".", 1)[0])


def hot_patches(base):
    """All packages of live patches for what is installed in just that version."""
    installed = {(p.name, p.evr) for p in base.sack.query().installed()}
    for package in base.sack.query().filter(provides__glob="syscare-target(*)"):
        hot = HotPatch(package)
        if (hot.target, hot.evr) in installed:
            yield hot


def newest(hots):
    """The newest package of each name; an installed one rather than its like."""
    best = {}
    for hot in hots:
        old = best.get(hot.package.name)
        if not old or old.package < hot.package or old.package.evr == hot.package.evr and hot.package.installed:
            best[hot.package.name] = hot
    return list(best.values())


def states():
    """What syscare says of each patch, by its name."""
    return {patch["name"]: patch for patch in json.loads(helper("list"))}


def is_active(now, hot):
    return now.get(hot.name, {}).get("state") in ACTIVE


def hot_severities(base):
    """The severities of CVEs in advisories of live patches, which libsolv leaves out."""
    openers, found = {".gz": gzip.open, ".xz": lzma.open, ".xml": open}, {}
    for repo in base.repos.iter_enabled():
        path = repo.get_metadata_path("updateinfo")
        opener = openers.get(os.path.splitext(path or "")[1])
        if not opener:
            continue
        with opener(path, "rb") as stream:
            for _event, update in ElementTree.iterparse(stream):
                if update.tag == "update":
                    for reference in update.iterfind("references/reference[@type='cve']"):
                        found.setdefault(reference.get("id"), update.findtext("severity") or "None")
                    update.clear()
    return found


class Knowing(dnf.cli.Command):  # which packages there are
    def configure(self):
        self.cli.demands.available_repos = True
        self.cli.demands.sack_activation = True


class HotUpdateinfo(Knowing):
    aliases = ("hot-updateinfo",)
    summary = _("show CVEs with the cold and the live patches that fix them")

    @staticmethod
    def set_argparser(parser):
        parser.add_argument("spec_action", choices=["list"])
        parser.add_argument("with_cve", nargs="?", choices=["cve", "cves"])
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--available", dest="fixed", action="store_false", default=False, help=_("CVEs that can be fixed (default)"))
        group.add_argument("--installed", dest="fixed", action="store_true", help=_("CVEs that are fixed"))

    def run(self):
        rows, severities, now = {}, hot_severities(self.base), states()
        hots = sorted(hot_patches(self.base), key=lambda hot: hot.package)
        for package in self.base.sack.query().installed().filter(name__neq=[hot.package.name for hot in hots]):
            for advisory in package.get_advisories(hawkey.LT | hawkey.EQ if self.opts.fixed else hawkey.GT):
                for reference in advisory.references:
                    if reference.type != hawkey.REFERENCE_CVE:
                        continue
                    severities[reference.id] = advisory.severity or "None"
                    for p in advisory.packages:
                        if (p.name, p.arch) == (package.name, package.arch):
                            rows.setdefault(reference.id, ["-", "-"])[0] = "%s-%s.%s" % (p.name, p.evr, p.arch)
        for hot in hots:
            if is_active(now, hot) == self.opts.fixed:
                for cve in hot.cves:
                    rows.setdefault(cve, ["-", "-"])[1] = str(hot.package)
        if not self.opts.fixed:  # what an active patch fixes is fixed, whatever else could fix it
            for patch in now.values():
                for cve in patch["cves"] if patch["state"] in ACTIVE else ():
                    rows.pop(cve, None)
        asked = {cve.upper() for cve in self.opts.cves or ()}
        for cve, (cold, hot) in sorted(rows.items(), key=lambda row: (row[1], row[0])):
            if not asked or cve in asked:
                print("%-16s %-15s %-40s %s" % (cve, severities.get(cve, "None") + "/Sec.", cold, hot))


class Hotpatch(dnf.cli.Command):
    aliases = ("hotpatch",)
    summary = _("show live patches, and apply or remove them")

    @staticmethod
    def set_argparser(parser):
        group = parser.add_mutually_exclusive_group(required=True)
        group.add_argument("--list", nargs="?", dest="listing", choices=["patches", "cve", "cves"], const="patches", help=_("live patches that are installed, or their CVEs"))
        for verb in VERBS:
            group.add_argument("--" + verb, metavar="PATCH", help=_("%s a live patch") % verb)
        group.add_argument("mode", nargs="?", choices=["auto", "manual"], help=_("install live patches with the packages that they are for, or do not"))

    def configure(self):
        self.cli.demands.root_user = not self.opts.listing

    def run(self):
        for verb in VERBS:
            if getattr(self.opts, verb):
                print(helper(verb, getattr(self.opts, verb)), end="")
                return
        if self.opts.mode:
            set_auto(self.base, self.opts.mode == "auto")
            return
        asked, rows = {cve.upper() for cve in self.opts.cves or ()}, [("base-pkg/hotpatch", "status")]
        if asked or self.opts.listing != "patches":
            rows = [("CVE-id",) + rows[0]]
        for patch in json.loads(helper("list")):
            if len(rows[0]) == 2:
                rows.append((patch["name"], patch["state"]))
            else:
                rows += [(cve, patch["name"], patch["state"]) for cve in patch["cves"] if not asked or cve in asked]
        for row in rows:
            print(("%-16s " % row[0] if len(row) == 3 else "") + "%-50s %s" % row[-2:])


class HotUpgrade(Knowing):
    aliases = ("hotupgrade",)
    summary = _("install and apply live patches")

    @staticmethod
    def set_argparser(parser):
        parser.add_argument("patches", nargs="*", metavar="PATCH", help=_("live patch; all that fit if there is none"))
        parser.add_argument("--takeover", action="store_true", help=_("accept what is applied: it comes back after a boot"))

    def configure(self):
        super().configure()
        self.cli.demands.root_user = True
        self.cli.demands.resolving = True

    def run(self):
        os.environ["SYSCARE_ON_INSTALL"] = "accept" if self.opts.takeover else "apply"
        asked, hots, now = {cve.upper() for cve in self.opts.cves or ()}, newest(hot_patches(self.base)), states()
        missing = [text for text in self.opts.patches if not any(hot.called(text) for hot in hots)]
        missing += [cve for cve in sorted(asked) if not any(cve in hot.cves for hot in hots)]
        if missing:
            raise dnf.exceptions.Error(_("There is no live patch {} for what is installed").format(", ".join(missing)))
        self.chosen = [hot for hot in hots if (not asked or asked & hot.cves) and
                       (not self.opts.patches or any(hot.called(text) for text in self.opts.patches))]
        for hot in self.chosen:
            if not hot.package.installed:
                self.base.package_install(hot.package)
                continue
            if not is_active(now, hot):
                print(helper("apply", hot.name), end="")
            if self.opts.takeover:
                print(helper("accept", hot.name), end="")

    def run_transaction(self):
        now = states()
        failed = [hot.name for hot in self.chosen if not is_active(now, hot)]
        if failed:
            raise dnf.exceptions.Error(_("Installed, but not applied: {}; `dnf hotpatch --apply` tries again").format(", ".join(failed)))


def read_config(base):
    path, parser = os.path.join(base.conf.pluginconfpath[0], "syscare.conf"), configparser.ConfigParser()
    parser.read(path)
    return path, parser


def set_auto(base, auto):
    path, parser = read_config(base)
    parser.read_dict({"main": {"auto": "true" if auto else "false"}})
    with open(path, "w") as f:
        parser.write(f)


class Syscare(dnf.Plugin):
    name = "syscare"

    def __init__(self, base, cli):
        super().__init__(base, cli)
        self.resolving, self.report = False, None
        if cli:
            for command in (HotUpdateinfo, Hotpatch, HotUpgrade):
                cli.register_command(command)

    def resolved(self):
        """Adds the live patches of packages that come, if that is wanted."""
        if self.resolving or not self.base.transaction or not read_config(self.base)[1].getboolean("main", "auto", fallback=False):
            return
        coming = {(item.name, item.pkg.evr) for item in self.base.transaction if item.action in dnf.transaction.FORWARD_ACTIONS}
        hots = map(HotPatch, self.base.sack.query().available().filter(provides__glob="syscare-target(*)"))
        fitting = newest(hot for hot in hots if (hot.target, hot.evr) in coming)
        for hot in fitting:
            self.base.package_install(hot.package)
        if fitting:
            self.resolving = True
            self.base.resolve(self.cli.demands.allow_erasing if self.cli else False)
            self.resolving = False

    def pre_transaction(self):
        if self.base.conf.installroot != "/" or not os.access(HELPER, os.X_OK):
            return
        going = sorted({item.name for item in self.base.transaction if item.action in dnf.transaction.BACKWARD_ACTIONS})
        try:
            print(helper("replaces", *going) if going else "", end="")
        except dnf.exceptions.Error as e:
            print(e)  # no reason to hold anything up
        descriptor, self.report = tempfile.mkstemp(prefix="syscare-")
        os.close(descriptor)
        os.environ["SYSCARE_REPORT"] = self.report

    def transaction(self):
        if not self.report:
            return
        try:
            helper("reconcile")
        except dnf.exceptions.Error as e:
            print(e)  # the transaction is done
        del os.environ["SYSCARE_REPORT"]
        with open(self.report) as lines:
            done = [json.loads(line) for line in lines]
        os.unlink(self.report)
        done = [r for r in done if r.get("error") or r.get("notes") or r["from"] != r["to"] or r["processes"]]
        if done:
            print(_("Live patches:"))
        for r in done:
            print("  %s: %s, processes: %d, stopped for %d µs at most" % (r["name"], r["to"], r["processes"], r["pause_ns"] // 1000))
            for note in r.get("notes", ()):
                print("    " + note)
            if r.get("error"):
                print("    " + _("Error: {}").format(r["error"]))
