"""/access: log-in, users, tokens, ACLs, permissions."""

import uuid

from lab.pve import access, identity
from lab.pve.call import Call
from lab.pve.message import Json, died, refused_parameters
from lab.pve.state import AclEntry, Token, User


def create_ticket(call: Call) -> Json:
    realm = call.params.get("realm")
    name = call.params["username"]
    username = f"{name}@{realm}" if realm and "@" not in name else name
    return identity.log_in(call.world, username, call.params["password"], call.now)


def _require_quorum(call: Call, text: str) -> None:
    if not call.world.quorate:
        raise died(f"{text} failed: cfs-lock 'file-user_cfg' error: no quorum!")


def create_user(call: Call) -> Json:
    userid = call.params["userid"]
    _require_quorum(call, "create user")
    if userid in call.world.users:
        raise died(f"create user failed: user '{userid}' already exists")
    call.world.users[userid] = User(userid, call.params.get("password", ""))
    return None


def _user(call: Call) -> User:
    user = call.world.users.get(call.params["userid"])
    if user is None:
        raise died(f"no such user ('{call.params['userid']}')")
    return user


def create_token(call: Call) -> Json:
    user, name = _user(call), call.params["tokenid"]
    if name in user.tokens:
        raise refused_parameters({"tokenid": "Token already exists."})
    _require_quorum(call, "create token")
    token = Token(
        value=str(uuid.UUID(bytes=call.world.draw()[:16], version=4)),
        privsep=call.params.get("privsep", "1") == "1",
        expire=int(call.params.get("expire", "0")),
        comment=call.params.get("comment", ""),
    )
    user.tokens[name] = token
    info: dict[str, Json] = {"privsep": str(int(token.privsep))}
    return {"info": info, "full-tokenid": f"{user.userid}!{name}", "value": token.value}


def delete_token(call: Call) -> Json:
    user, name = _user(call), call.params["tokenid"]
    if name not in user.tokens:
        raise died(f"no such token '{name}' for user '{user.userid}'")
    _require_quorum(call, "delete token")
    del user.tokens[name]
    call.world.acl = [entry for entry in call.world.acl if entry.who != f"{user.userid}!{name}"]
    return None


def create_role(call: Call) -> Json:
    name = call.params["roleid"]
    if access.role_exists(call.world, name):
        raise died(f"create role failed: role '{name}' already exists")
    _require_quorum(call, "create role")
    call.world.roles[name] = call.names("privs")
    return None


def update_acl(call: Call) -> Json:
    world = call.world
    _require_quorum(call, "ACL update")
    for role in call.names("roles"):
        if not access.role_exists(world, role):
            raise died(f"ACL update failed: role '{role}' does not exist")
    propagate = call.params.get("propagate", "1") == "1"
    for who in call.names("users") + call.names("tokens"):
        user, _, token = who.partition("!")
        if user not in world.users:
            raise died(f"ACL update failed: user '{user}' does not exist")
        if token and token not in world.users[user].tokens:
            raise died(f"ACL update failed: token '{who}' does not exist")
        for role in call.names("roles"):
            entry = AclEntry(call.params["path"], who, role, propagate)
            world.acl = [e for e in world.acl if (e.path, e.who, e.role) != (entry.path, who, role)]
            if not call.flag("delete"):
                world.acl.append(entry)
    return None


def permissions(call: Call) -> Json:
    """Own permissions by path; the number says whether they propagate."""
    world = call.world
    paths = (
        {call.params["path"]}
        if "path" in call.params
        else set(access.TOP_PATHS) | {e.path for e in world.acl}
    )
    found = {path: sorted(access.privileges(world, call.who, path)) for path in sorted(paths)}
    return {path: dict.fromkeys(held, 1) for path, held in found.items() if held}
