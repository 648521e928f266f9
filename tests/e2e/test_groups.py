"""Groups and contacts as a program uses them, over HTTP and with every real part."""

from __future__ import annotations

from .keepline import Api, Phones, Session, eventually


def test_a_program_makes_a_group_writes_in_it_changes_and_leaves_it(api: Api, phones: Phones, session: Session) -> None:
    bea, carol = phones.new_number(), phones.new_number()
    body = {"session_id": session.id, "subject": "Walks", "members": [f"+{bea}"]}
    made = api.json("POST", "/api/groups", 201, json=body, headers={"Idempotency-Key": "walks"})
    again = api.call("POST", "/api/groups", json=body, headers={"Idempotency-Key": "walks"})
    assert (again.json(), again.headers["Idempotent-Replay"]) == (made, "true")
    group = made["chat"]
    assert {one["phone"]: one["admin"] for one in made["members"]} == {session.phone: True, bea: False}
    assert all(one["lid"] for one in made["members"])

    api.wait_for_delivery(api.send(session.id, group, "hello all")["message_id"])
    eventually(lambda: "hello all" in phones.texts(bea), "the message in the group")

    path = f"/api/groups/{group}"
    changed = api.json("POST", f"{path}/members", json={"session_id": session.id, "add": [carol], "promote": [bea]})
    assert [(one["phone"], one["action"]) for one in changed["changed"]] == [(carol, "add"), (bea, "promote")]
    api.json("PATCH", path, json={"session_id": session.id, "subject": "Longer walks"})
    seen = api.json("GET", path, params={"session_id": session.id})
    assert (seen["subject"], len(seen["members"])) == ("Longer walks", 3)
    link = api.json("GET", f"{path}/invite", params={"session_id": session.id})["link"]
    assert link == phones.json("GET", f"/groups/{group}")["link"]
    api.send(session.id, group, "hello Carol, too")
    eventually(lambda: "hello Carol, too" in phones.texts(carol), "the message to who came later")

    assert api.call("POST", f"{path}/leave", json={"session_id": session.id}).status_code == 204
    listed = api.json("GET", "/api/groups", params={"session_id": session.id})
    assert group not in [one["chat"] for one in listed["groups"]]
    assert api.refusal("GET", path, params={"session_id": session.id}) == (409, "group_forbidden")


def test_a_program_asks_who_is_on_whatsapp_and_what_they_show(api: Api, phones: Phones, session: Session) -> None:
    bea = phones.new_number()
    checked = api.json("POST", "/api/contacts/check", json={"session_id": session.id, "numbers": [f"+{bea}"]})
    [contact] = checked["contacts"]
    assert (contact["phone"], contact["on_whatsapp"], bool(contact["lid"])) == (bea, True, True)
    phones.json("POST", f"/phones/{bea}/profile", json={"about": "At sea"})
    seen = api.json("GET", f"/api/contacts/{bea}", params={"session_id": session.id})
    assert (seen["phone"], seen["lid"], seen["about"]) == (bea, contact["lid"], "At sea")
