"""Sentences in which somebody knows what every pronoun means, made from templates.

A learned head needs examples. No labelled text is shipped: `draw_sentence` fills templates with
words from the lists below, so who "it" is, is known by construction. The same seed gives the same
sentences on every machine.

A fifth of the content words (by a digest of the word) and all of `HELD_OUT_TEMPLATES` never occur
in training; neither do the words of "The cat sat on the mat. It is eating now." that carry its
meaning, nor the well-known nouns of Winograd's sentences (Levesque et al. 2012).
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NEVER_TRAINED = frozenset(
    _words("""cat cats mat mats sat sit sits sitting eating eat eats ate eaten
    animal animals street streets trophy trophies suitcase suitcases councilmen demonstrators
    permit lawyer lawyers witness ball balls table tables statue statues sculpture shelf fish
    worm worms steel""")
)

WORDS = {
    "animals": """
        fox fish cricket bird horse dog bear tiger chicken buffalo cattle eagle bull wolf cow
        lion pet sheep dragon salmon monster mouse duck deer moth butterfly bee whale elephant
        snake pig shark hawk lamb shrimp rat creature swan monkey snail spider beast frog rabbit
        tuna beetle crow cod dinosaur trout herd goat turtle calf falcon beaver insect jaguar
        panda crab mosquito mare goose penguin predator camel moose dolphin worm cobra panther
        lobster elk owl pony bunny leopard hare crocodile ant labrador""",
    "men": """
        general man spokesman father son chairman king brother husband captain boy prince guy
        actor pope lord soldier bishop duke emperor colonel priest businessman footballer knight
        uncle hunter sheriff bachelor dad grandfather baron policeman congressman grandson
        nephew boxer boyfriend sergeant monarch warrior monk carpenter cowboy sailor wrestler
        salesman butcher daddy wizard gentleman fisherman groom samurai""",
    "women": """
        wife woman mother daughter girl spokeswoman sister queen lady actress princess mom
        girlfriend widow nurse grandmother aunt bride goddess witch chairwoman empress maid
        granddaughter duchess niece mistress nun heroine countess diva housewife waitress""",
    "people": """
        president minister leader director secretary coach executive player manager person judge
        officer child governor deputy champion attorney professor student mayor lawyer guard
        friend analyst criminal commander writer host assistant author editor owner ambassador
        driver representative doctor artist senator singer baby commissioner pilot suspect
        teacher veteran prosecutor passenger politician expert reporter victim journalist
        adviser economist worker patient adult cook guest tourist graduate diplomat hero
        employee resident boss refugee teen engineer citizen client customer runner designer kid
        activist baker architect critic publisher twin consultant scientist poet killer composer
        spy prisoner historian nominee referee teammate inspector neighbor musician cousin
        immigrant columnist farmer lawmaker administrator athlete correspondent physician
        scholar painter researcher photographer defendant detective guitarist rider trader
        employer rabbi teenager colleague chef pastor superintendent surgeon survivor clerk
        companion visitor gunman drummer heir investigator infant lover conductor banker dancer
        performer filmmaker novelist instructor comedian pianist songwriter genius servant
        psychologist vocalist lecturer playwright astronaut stranger translator philosopher
        builder bassist swimmer sculptor psychiatrist screenwriter counselor spouse murderer
        pupil inventor accountant traveler technician physicist bodyguard skier racer mechanic
        cyclist educator thief apprentice sprinter skater biologist therapist newborn prostitute
        intern tenant mathematician foreigner librarian biographer astronomer entertainer
        choreographer dentist chemist landlord violinist toddler nanny sociologist illustrator
        archaeologist roommate classmate acquaintance gardener orphan""",
    "groups": """
        people police officials members women children men leaders players workers students
        soldiers reporters families rebels officers residents friends parents victims experts
        employees militants candidates citizens patients customers champions lawyers doctors
        civilians lawmakers kids refugees passengers girls brothers individuals journalists
        artists executives boys prisoners scientists farmers visitors suspects politicians
        clients protesters teachers immigrants writers activists researchers tourists judges
        relatives sons athletes drivers diplomats guards colleagues neighbors adults inspectors
        survivors gunmen veterans pilots coaches humans couples actors foreigners kings guests
        daughters engineers peacekeepers marines buyers musicians commanders sisters policemen
        pirates criminals travelers teammates villagers priests firefighters mothers heroes
        twins babies bankers queens warriors attackers youths specialists performers designers
        locals fishermen sailors ladies physicians migrants monks nurses graduates singers wives
        grandchildren teens teenagers architects pupils dancers fathers shoppers professors
        siblings knights hunters youngsters composers poets thieves infants strangers
        grandparents cousins husbands princes nuns classmates robbers gentlemen schoolchildren""",
    "herds": """
        fish animals birds tigers dogs bears horses cattle lions eagles bulls sheep deer bats
        sharks dolphins flies ducks hawks falcons panthers creatures pigs insects mice wolves
        chickens whales cows penguins elephants mammals pets seals rats bugs ravens monsters
        monkeys snakes snails dinosaurs frogs turtles bees moths goats ants butterflies
        mosquitoes beetles spiders""",
    "things": """
        film cup television story book car album key radio song newspaper computer video movie
        ball rock plant magazine letter phone plane cabinet ship van train telephone medal sun
        bus table picture door card vehicle box bowl novel gun package engine stone page machine
        boat branch screen suit truck tree wine flag glass bell ring tower salt rocket photo
        helicopter sugar orange biography apple ticket dinner moon seed jet coffee window map
        camera cap pan painting guitar bed chair fruit lunch milk beer tea plate dress bag piano
        wire wheel clock ferry uniform belt shirt cream diamond desk hat calendar pearl shield
        cheese bread statue rifle pepper breakfast portrait fence brick cloud chocolate butter
        mirror flower egg coat poem bottle toy pen pot meal button pickup juice taxi knife
        motorcycle recipe sculpture dish soap airplane pipe bike drum hammer photograph cake
        basket soup tent jacket bicycle shoe candy sword trailer tire mask garlic oven umbrella
        yacht ambulance pie brush carpet lemon pizza diary coin salad cart costume memoir honey
        boot balloon keyboard potato poster shelf banana violin cloth laptop glove onion helmet
        curtain rope cab blanket wagon fork purse notebook ribbon doll jeep puzzle tomato arrow
        sandwich closet ladder envelope puppet printer cookie skirt needle parcel tractor razor
        steak spoon canoe dessert gown trumpet lamp bucket barge flute jar mushroom towel
        sausage peach freighter pumpkin pencil candle stove kite mural cellphone tablet
        limousine wallet lantern axe pastry saxophone sweater scarf viola cello minivan pebble""",
    "plurals": """
        books cars newspapers songs stories vehicles plants leaves windows ships pictures photos
        letters planes computers trees guns cards trains devices trucks tickets pages machines
        tanks doors helicopters clothes boats medals tools flowers balls paintings buses
        photographs vessels cameras phones shoes eggs bags stones videos rocks flags seeds boxes
        suits gifts shirts cups toys rings maps vegetables poems tables chairs drums wheels
        plates bottles keys coins uniforms tires pants beans dishes fruits boots tents stamps
        tomatoes portraits bells potatoes glasses jackets diamonds jeans nuts dresses watches
        shorts warships gloves roses hats cookies grapes statues bowls mirrors blankets guitars
        coats dolls onions candles apples motorcycles knives telephones vans skirts socks bikes
        mushrooms balloons bicycles lamps baskets wagons sandwiches bananas swords trousers
        cakes clocks jewels sunglasses carrots berries pens""",
    "places": """
        city home school house court bank area office town college church station island road
        field river park village border hospital ground stage airport room sea coast prison wall
        hall museum camp hotel lake hill stadium port valley beach floor mountain store bridge
        farm studio forest bar library theater jail mine neighborhood theatre palace restaurant
        campus ocean corner temple garden factory wood path shop tower apartment castle trail
        creek peninsula residence desert gallery mosque cemetery roof shore lane entrance canal
        gate tunnel harbor suburb yard cathedral kitchen stream chapel zoo cinema lobby basin
        cave deck monastery mansion cafe bedroom inn canyon jungle garage tomb basement cabin
        countryside reservoir classroom warehouse cliff supermarket circus lawn gym pond dock
        bathroom glacier pub fountain pier barn cottage lounge stairs courtyard sidewalk porch
        swamp playground hut motel convent balcony bakery tavern meadow staircase attic hallway
        cellar waterfall driveway farmhouse""",
    "surfaces": """
        wall rock floor seat ice table door box branch snow tree window bed chair roof bench
        grass sand desk fence mirror mud basket log carpet cage shelf blanket stairs ladder
        couch cushion lamp towel stove""",
    "menames": """
        john bill george david michael james robert william thomas richard peter charles martin
        mike tom henry louis bob scott steve joseph joe jim tony frank chris ali jack alexander
        howard daniel andrew stephen ben edward brian patrick kevin antonio ray carlos tim allen
        juan ahmed harry jeff sam alan gordon don eric simon gary ryan anthony nelson stanley
        roger jason andy alex larry arthur philip donald adam walter bruce oscar douglas dave
        matt jerry benjamin graham ross phil barry luis dennis russell francis albert carl
        steven ron lawrence wayne nick rick ken roy terry warren greg craig fred colin matthew
        billy jay ian bobby jonathan samuel norman charlie bernard victor karl todd max ronald
        omar johnny hassan sean keith nicholas rob ted vincent frederick eddie danny kenneth
        ivan stuart oliver ralph pedro aaron neil hans justin hugo jeffrey gregory marcus
        benedict harold jorge luke jacob jesse lucas josh jeremy marco timothy nathan gerald
        derek leo maurice felix adrian malcolm igor eugene tyler kyle pablo ernest dylan jake
        giovanni brandon erik stefan joshua nigel noah neal lars liam toby ethan""",
    "womennames": """
        virginia mary jean sharon elizabeth maria victoria kelly anne barbara susan sarah jane
        anna ann charlotte nancy marie margaret diana laura jennifer sue lisa monica linda
        catherine michelle alice karen helen angela joan ruth martha kate amy nicole julia carol
        julie janet andrea gloria lynn tracy beverly ellen rachel patricia louise betty
        christine ashley jessica caroline emily elena donna diane sandra claire teresa lucy emma
        joyce paula sara rebecca judy frances sally clara kathleen dorothy deborah annie amanda
        lauren wendy stephanie eva katherine marilyn judith alexandra jenny katie jill shirley
        christina debra kathy heather melissa tina hannah eleanor lily natalie sophie elisabeth
        carolyn pamela olga cynthia maggie agnes samantha molly peggy denise harriet olivia
        brittany irene carrie sylvia vanessa kimberly brenda sophia audrey isabella cheryl
        jacqueline megan evelyn esther danielle lois theresa amelia beatrice ella""",
    "times": """
        year day week month night summer morning hour weekend minute afternoon spring moment
        winter evening autumn""",
    "pleasant": """
        new american old long foreign local white chinese little french small big lost large
        young russian round german black full strong hard short red english common light kind
        green poor italian serious brown heavy spanish blue modern huge tough fast famous hot
        rich happy cold silver fresh pretty slow simple dark dangerous broken rare ancient wild
        golden metal clean friendly weak favorite yellow expensive nice dry tiny healthy soft
        beautiful angry warm sweet quiet fat narrow calm gray empty bright busy proud tall thin
        sick enormous wooden cheap nervous strange wonderful smooth tired sad plain funny pink
        terrible blind dirty wet wise loud purple hungry shy ugly brave elegant curious cruel
        lonely gentle clever lovely handsome polite tame foolish lazy rude""",
    "states": """
        new old long early good late white open great small big lost free better young important
        different black full strong short red clear closed dead popular light kind bad green
        poor injured serious brown heavy married blue ready wounded alone missing gone older
        tough fast famous hot fine rich happy cold safe fresh pretty slow guilty dark dangerous
        broken clean violent friendly perfect sharp weak damaged yellow expensive worried alive
        confident bigger ill tight patient dry healthy soft beautiful angry cool warm surprised
        upset sweet quiet calm empty comfortable innocent bright disappointed busy proud smart
        tall sick bitter hidden optimistic valuable afraid useful pleased raw rough cheap loose
        nervous frozen strange wonderful smooth tired sad desperate silent satisfied funny
        pregnant terrible crazy careful excited frustrated honest dirty hopeful sorry brilliant
        confused wet wise loud fragile glad hungry scared shy unhappy ugly anxious intelligent
        delighted drunk grateful stupid furious brave curious cruel awful scary horrible weird
        lonely gentle sour clever lovely handsome thrilled dusty charming asleep dull ripe
        useless polite rusty rotten noisy bored delicious blonde gorgeous foolish lazy rude
        awake jealous restless sleepy damp""",
    "fled": """
        left won came played went lost died fell moved worked appeared returned turned remained
        arrived ran suffered lived grew spoke stopped stood fought argued studied settled lay
        walked trained emerged stayed drove jumped complained talked flew landed collapsed
        struggled traveled climbed escaped slipped rushed disappeared dressed plunged surged
        sang rolled waited sank marched shook departed sailed raced practiced travelled snapped
        relaxed tumbled slid slumped bounced rode retreated listened waved cheered joked cried
        laughed smiled vanished slept stumbled rested floated danced hid prayed yelled woke
        drifted screamed dived swam paused leaned wept wandered""",
    "stood": """
        was fell moved closed worked opened appeared failed turned remained arrived changed
        dropped broke grew stopped stood lay stayed crashed landed burned exploded slipped
        disappeared hung existed rolled sank shook cracked faded vanished rested floated swung
        melted leaned""",
    "took": """
        made used left found took held lost hit received started moved cut gave built sent
        closed served published wanted opened saw returned wrote brought showed needed sold
        tried finished offered owned designed dropped carried kept ordered recorded broke read
        bought prepared discovered caught destroyed covered missed pulled drew picked studied
        pushed filled shared damaged delivered watched purchased abandoned drove threw fixed
        chose tested collected constructed lifted enjoyed burned loved cleared painted
        approached wore ignored locked kicked imported liked remembered touched noticed wrapped
        examined checked grabbed inherited invented transported stole smashed washed cooked
        borrowed rode ruined ate tossed repaired admired photographed cleaned inspected hated
        hid tuned forgot drank""",
    "met": """
        told called left found killed held hit asked shot met saw accused arrested followed beat
        helped joined raised paid married warned carried heard fired knew supported caught fed
        defeated visited missed attacked pulled fought blamed pushed treated invited recognized
        hired trained watched abandoned taught questioned praised surprised welcomed encouraged
        protected saved loved feared approached interviewed ignored kicked respected liked
        remembered rescued touched contacted answered noticed impressed avoided guided spotted
        greeted scared embraced thanked trusted cheered chased admired disturbed frightened
        bothered hated forgot cured annoyed kissed hugged""",
    "doing": """
        going working trying playing living coming training running fighting looking winning
        getting growing starting leaving moving speaking losing writing standing talking driving
        waiting reading falling flying thinking turning watching suffering hoping learning
        breaking fishing walking improving traveling painting swimming singing drinking studying
        riding hunting burning staying lying cooking hiding dying dancing recovering listening
        stopping sleeping climbing jumping feeding sailing cleaning floating sinking breathing
        smiling crying shaking screaming shouting laughing bleeding spinning washing resting
        shining leaking ringing dreaming glowing""",
    "meet": """
        like make take use see show help want open know close need hit start move return visit
        keep call share find cut meet test believe hold study love fight try leave bring beat
        buy build sell join read protect send avoid carry finish draw save follow trust
        understand push miss hear check clean write remember pull choose catch touch kick cook
        lift feed chase forget destroy fix hate teach paint thank burn ignore wash borrow admire""",
    "run": """
        work go think play run win come move live study fall stop fight leave rest talk stay
        travel stand read speak dance learn walk wait dream jump sleep drink lie listen sing
        hide climb smile cry laugh swim relax shine float breathe shout""",
    "where": """
        in on under near behind beside by at across through over around inside outside into onto
        past along above below beneath toward towards against between from off beyond to within""",
    "how": """
        there still home later here early late never today again away once often outside
        together hard always soon inside immediately sometimes quickly finally alone twice
        easily yesterday suddenly slowly badly barely carefully everywhere quietly peacefully
        gently angrily happily proudly sadly loudly eagerly calmly""",
    "very": """
        very so too really quite rather extremely always still never now just almost already not
        often usually also completely totally probably certainly clearly simply""",
    "now": """
        now today again there here outside inside alone too still already always often soon
        later tonight yesterday tomorrow quickly slowly quietly happily together forever anyway
        loudly""",
    "join": """
        because so but and when while although though since as until before after where unless
        if then""",
    "open": """
        yesterday today then suddenly finally later once soon meanwhile now often sometimes
        usually recently eventually tonight perhaps maybe afterwards however therefore still
        also again fortunately unfortunately clearly""",
}
# Grammatical words are few and all of them are trained; the other lists are divided by a digest.
_NOUNS = frozenset(
    _words(
        "animals men women people groups herds things plurals places surfaces menames womennames"
    )
)


@dataclass(frozen=True)
class _Kind:
    """A kind of noun: its word list, number, pronouns, and how readily a pronoun means it."""

    words: str
    number: str
    pronouns: tuple[str, ...]
    salience: int


_KINDS = {
    "animal": _Kind("animals", "one", ("it",), 3),
    "thing": _Kind("things", "one", ("it",), 2),
    "place": _Kind("places", "one", ("it",), 1),
    "surface": _Kind("surfaces", "one", ("it",), 1),
    "time": _Kind("times", "time", ("it",), 0),
    "man": _Kind("men", "one", ("he",), 3),
    "woman": _Kind("women", "one", ("she",), 3),
    "him": _Kind("menames", "name", ("he",), 3),
    "her": _Kind("womennames", "name", ("she",), 3),
    "person": _Kind("people", "one", ("he", "she"), 2),
    "group": _Kind("groups", "many", ("they",), 3),
    "herd": _Kind("herds", "many", ("they",), 3),
    "things": _Kind("plurals", "many", ("they",), 2),
}
# A slot names a family; a kind said twice is drawn twice as often.
_FAMILIES = {
    "anything": "animal animal animal thing thing man woman him her person group herd things",
    "living": "animal animal animal man woman him her person group herd",
    "somebody": "man woman him her person man woman group",
    "human": "man woman him her person group",
    "object": "thing thing thing things",
    "spot": "place place surface thing",
}
_FORMS = {
    "it": {"he": "it", "him": "it", "his": "its"},
    "he": {"he": "he", "him": "him", "his": "his"},
    "she": {"he": "she", "him": "her", "his": "her"},
    "they": {"he": "they", "him": "them", "his": "their"},
}
_AGREEING = {"is": "are", "was": "were", "has": "have", "does": "do"}
_DETERMINERS = {
    "one": _words("the the the the the a a a my my your our this that one his her their every"),
    "many": _words("the the the the my your our these those some two three many his her their"),
    "name": [""],
    "time": _words("the the this that one every"),
}
_OWNERS = frozenset(_words("its his her their"))
PRONOUNS = frozenset(_words("it its he him his she her they them their"))

# A, B, C: noun phrases of the families named at the left. A.he, A.him, A.his: a pronoun for A;
# A.is, A.was, A.has agree with A. CAPITALS draw from a word list; a trailing ? leaves the word
# out half of the time. / is where a long sentence gets its extra words.
TRAINING_TEMPLATES = """
A:anything B:spot | A STOOD WHERE B . / A.he A.is VERY? STATES NOW?
A:living B:spot | A FLED WHERE B . / A.he A.is DOING NOW?
A:living B:spot | A FLED HOW? WHERE B . / A.he A.was VERY? STATES
A:living B:spot | A FLED WHERE B . / A.he FLED HOW?
A:living | A FLED HOW? . / A.he A.was VERY? STATES
A:living C:spot | A FLED HOW? . / A.he FLED WHERE C
A:anything | A A.was VERY? STATES . / A.he STOOD HOW?
A:somebody B:object | A TOOK B HOW? . / A.he A.is VERY? STATES NOW?
A:somebody B:object | A TOOK B HOW? . / B.he B.is VERY? STATES NOW?
A:somebody B:object | A TOOK A.his B . / A.he A.was VERY? STATES
A:somebody B:object | A TOOK A.his B HOW? . / B.he B.was VERY? STATES
A:somebody B:animal | A MET B HOW? . / B.he B.was VERY? STATES
A:somebody B:animal C:spot | A MET B WHERE C . / B.he B.was VERY? STATES NOW?
A:somebody B:object C:spot | A TOOK B WHERE C . / B.he B.is VERY? STATES NOW?
A:somebody B:object C:spot | A TOOK B WHERE C . / A.he A.is VERY? STATES NOW?
A:human B:human | A MET B HOW? . / A.he A.was VERY? STATES
A:human B:human | A MET B HOW? . / B.he B.was VERY? STATES
A:human B:human | A MET A.his B . / A.he A.is VERY? STATES
A:human B:human | A MET A.his B . / B.he B.is VERY? STATES
A:human B:human C:spot | A MET B WHERE C . / A.he FLED HOW?
A:human B:human C:spot | A MET B WHERE C . / B.he FLED HOW?
A:human B:living | A MET B and / MET B.him HOW?
A:human B:object | A TOOK B and / TOOK B.him HOW?
A:living B:spot | A did not MEET B JOIN / A.he A.was VERY? STATES
A:somebody B:object | A did not MEET B JOIN / B.he B.was VERY? STATES
A:living | A FLED HOW? , JOIN / A.he A.was VERY? STATES
A:living B:spot | A FLED WHERE B , JOIN / A.he FLED HOW?
A:living B:spot C:spot | A FLED WHERE B and then / A.he FLED WHERE C
A:living B:living | A FLED HOW? . / A.he MET B HOW?
A:living B:object C:spot | A FLED WHERE C . / A.he TOOK B
A:anything B:anything | A A.was STATES . / A.he A.is VERY? PLEASANT B
A:anything | OPEN A STOOD HOW? . / A.he A.was VERY? STATES
A:living T:time | in T A FLED HOW? . / A.he A.was VERY? STATES
A:anything B:spot T:time | T A STOOD WHERE B . / A.he A.is STATES
A:living | A FLED . / NOW A.he A.is DOING
A:anything B:spot | A A.is WHERE B . / A.he A.is VERY? STATES
A:anything | this A.is A . / A.he A.is VERY? STATES
A:anything B:spot | there A.is A WHERE B . / A.he A.is VERY? STATES
A:somebody B:object | A A.has B . / B.he B.is VERY? STATES
A:somebody B:animal | A A.has B . / A.he MET B.him HOW?
A:living | when A FLED , / A.he A.was VERY? STATES
A:living B:object | when A MET B , / A.he FLED HOW?
A:anything | A who A.was STATES STOOD HOW? . / A.he A.was VERY? STATES
A:living B:spot C:human | A FLED WHERE B . / C MET A.him HOW?
A:anything | A A.is VERY? STATES . / i MEET A.him VERY?
A:living | A can RUN HOW? . / A.he will RUN NOW?
A:living B:object | A will MEET B . / A.he can RUN HOW?
A:human B:human | A and B FLED HOW? . / A.he A.was STATES
A:human B:object C:human | A showed C B . / A.he A.was VERY? STATES
A:human | A said that / A.he A.was VERY? STATES
A:somebody B:object | A lost A.his B . / A.he TOOK B.him HOW?
A:living C:thing | A FLED HOW? . / A.his C was VERY? STATES
""".strip().splitlines()

HELD_OUT_TEMPLATES = """
A:living B:spot | last night A A.was DOING WHERE B . A.he looked VERY? STATES
A:animal B:spot | A FLED WHERE B . A.he A.has been DOING
A:somebody B:object | A wanted to MEET B . B.he looked VERY? STATES
A:somebody B:object | A wanted to MEET B . A.he looked VERY? STATES
A:human B:human | as soon as A MET B , A.he began to RUN
A:living B:animal | B B.was never MET by A , but B.he seemed STATES
A:living B:spot | even though A A.was VERY? STATES , A.he FLED WHERE B
A:somebody B:object | A A.has TOOK B , which made A.him STATES
A:living B:spot | A did not cross B because A.he A.was too STATES
A:human B:human C:object | A gave B C . B.he B.was STATES
A:thing B:spot | somebody left A WHERE B , but A.he A.was STATES
""".strip().splitlines()


@dataclass(frozen=True)
class Example:
    """One labelled sentence.

    `words` are its tokens; `means[i]` is the index of the token that token i stands for, itself
    unless it is a pronoun with an antecedent; `pronouns` are the indices of those pronouns; and
    `gap_at` is the index before which a gap of positions may be inserted, 0 for nowhere.
    """

    words: tuple[str, ...]
    means: tuple[int, ...]
    pronouns: tuple[int, ...]
    gap_at: int = 0


def is_held_out(word: str) -> bool:
    """Return whether a content word is kept out of training: forced, or a fifth by its digest."""
    digest = hashlib.blake2b(word.encode("utf-8"), digest_size=4).digest()
    return word in NEVER_TRAINED or int.from_bytes(digest, "little") % 5 == 0


@cache
def word_list(name: str, held_out: bool = False) -> tuple[str, ...]:
    """Return the words of a list that training may use, or those it may not."""
    words = WORDS[name].split()
    if name in _NOUNS:
        return tuple(word for word in words if is_held_out(word) == held_out)
    return tuple(word for word in words if word not in NEVER_TRAINED)


def _pick(rng: np.random.RandomState, options):
    return options[int(rng.random_sample() * len(options))]


def _pick_word(rng: np.random.RandomState, name: str, held_out: bool) -> str:
    """Draw from a list that stands in order of frequency, common words more often."""
    words = word_list(name, held_out)
    return words[int(rng.random_sample() ** 1.7 * len(words))]


def draw_example(rng: np.random.RandomState, *, held_out: bool = False) -> Example:
    """Draw one labelled sentence; with `held_out`, from templates and words never trained on."""
    templates = HELD_OUT_TEMPLATES if held_out else TRAINING_TEMPLATES
    while True:
        example = _fill(rng, _pick(rng, templates), held_out)
        if example is not None:
            return example


def draw_examples(rng: np.random.RandomState, n: int, *, held_out: bool = False) -> list[Example]:
    """Draw `n` labelled sentences."""
    return [draw_example(rng, held_out=held_out) for _ in range(n)]


@cache
def _parse(template: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    families, text = template.split("|")
    slots = tuple(tuple(slot.split(":")) for slot in families.split())
    return slots, tuple(text.split())


def _fill(rng: np.random.RandomState, template: str, held_out: bool) -> Example | None:
    """Fill one template, or return None where a pronoun could mean two of its words."""
    slots, text = _parse(template)
    kinds = {
        slot: _KINDS[_pick(rng, _FAMILIES.get(family, family).split())] for slot, family in slots
    }
    spoken = {slot: _pick(rng, kind.pronouns) for slot, kind in kinds.items()}
    words: list[str] = []
    heads: dict[str, int] = {}
    pronouns: list[tuple[int, str]] = []
    gap_at = 0
    punctuated = rng.random_sample() < 0.5
    for item in text:
        if item in kinds:
            owned = bool(words) and words[-1] in _OWNERS and bool(pronouns)
            if owned and kinds[item].number == "name":
                return None
            words += _noun_phrase(rng, kinds[item], held_out, owned)
            heads[item] = len(words) - 1
        elif item[1:2] == "." and item[0] in kinds:
            slot, form = item.split(".")
            if form in ("he", "him", "his"):
                pronouns.append((len(words), slot))
                words.append(_FORMS[spoken[slot]][form])
            else:
                words.append(_AGREEING[form] if kinds[slot].number == "many" else form)
        elif item == "/":
            gap_at = len(words)
            if rng.random_sample() < 0.15:
                words += _filler(rng, punctuated)
        elif item in ".,":
            if punctuated:
                words.append(item)
        elif item.isupper():
            if not item.endswith("?") or rng.random_sample() < 0.5:
                words.append(_pick_word(rng, item.rstrip("?").lower(), held_out))
        else:
            words.append(item)
    if punctuated and rng.random_sample() < 0.8:
        words.append(".")
    if not all(_clear(kinds, spoken, heads, slot, at) for at, slot in pronouns):
        return None
    means = list(range(len(words)))
    for at, slot in pronouns:
        means[at] = heads[slot]
    return Example(tuple(words), tuple(means), tuple(at for at, _ in pronouns), gap_at)


def _noun_phrase(rng: np.random.RandomState, kind: _Kind, held_out: bool, owned: bool) -> list[str]:
    phrase = ["" if owned else _pick(rng, _DETERMINERS[kind.number])]
    if kind.number != "name" and rng.random_sample() < 0.25:
        phrase.append(_pick_word(rng, "pleasant", held_out))
    phrase.append(_pick_word(rng, kind.words, held_out))
    if phrase[0] == "a" and phrase[1][0] in "aeiou":
        phrase[0] = "an"
    return [word for word in phrase if word]


def _clear(kinds: dict, spoken: dict, heads: dict, meant: str, at: int) -> bool:
    """Return whether the pronoun at `at` can only be read as `meant`."""
    for slot, kind in kinds.items():
        if slot == meant or spoken[meant] not in kind.pronouns or heads[slot] > at:
            continue
        later_object = heads[slot] > heads[meant] and kind.salience < 3
        if kind.salience > kinds[meant].salience or (
            kind.salience == kinds[meant].salience and not later_object
        ):
            return False
    return True


_FILLERS = """
and HOW and HOW|OPEN OPEN|of course|as always|for a long time|the whole time|more and more
again and again|very very HOW|in the end|as far as we know|at least for now|if not HOW|like before
nothing happened .|the weather was STATES .|everything was STATES .|we waited HOW .
WHERE the PLACES|WHERE the PLACES and the PLACES|all day long|the sun was shining .|and so on
we talked about the weather and the THINGS .|there was no noise .|i do not know why .
""".strip()


def _filler(rng: np.random.RandomState, punctuated: bool) -> list[str]:
    """Draw one to four phrases with nothing in them that a pronoun could mean."""
    words = []
    for _ in range(1 + int(rng.random_sample() * 4)):
        for item in _pick(rng, re.split(r"[|\n]", _FILLERS)).split():
            if item.isupper():
                words.append(_pick_word(rng, item.lower(), False))
            elif item != "." or punctuated:
                words.append(item)
    return words


def judged_sentences(name: str) -> list[Example]:
    """Read `presets/<name>-sentences.txt`: "The [dog] slept. {It} is tired." on every line."""
    source = resources.files("attention") / "presets" / f"{name}-sentences.txt"
    lines = source.read_text(encoding="utf-8").splitlines()
    return [_marked(line) for line in lines if line and not line.startswith("#")]


def _marked(line: str) -> Example:
    tokens = re.findall(r"[\[{]?\w+[\]}]?|[^\w\s]", line.lower())
    words = tuple(token.strip("[]{}") for token in tokens)
    noun = next(i for i, token in enumerate(tokens) if token.startswith("["))
    pronoun = next(i for i, token in enumerate(tokens) if token.startswith("{"))
    means = tuple(noun if i == pronoun else i for i in range(len(words)))
    return Example(words, means, (pronoun,))


def without_punctuation(example: Example) -> Example:
    """Return the same sentence with its commas, full stops and other marks left out."""
    kept = [i for i, word in enumerate(example.words) if word[0].isalnum()]
    new = {old: index for index, old in enumerate(kept)}
    return Example(
        words=tuple(example.words[i] for i in kept),
        means=tuple(new[example.means[i]] for i in kept),
        pronouns=tuple(new[i] for i in example.pronouns),
        gap_at=sum(i < example.gap_at for i in kept),
    )
