"""Words of the sample corpus: one table a word class, English | German | French | tags.

An indented line continues the one before. A slash separates the forms of one word; forms that
follow the rule are left out:
noun       English sg/pl | German gender sg/pl/oblique sg | French gender sg/pl | tags
adjective  English/comparative | German/comparative/stem | French m/f, place b(efore) a(fter) | tags
verb       English base particle/past/ing | German | French | frame | subject tags | object tags

German verb: `prefix+infinitive, third person, participle, case or preposition, sein, sich`.
French verb: `infinitive, à|de (governed preposition), être, se`.
English `turn +on` has a particle that an object pronoun precedes, `look for` a preposition.
A tag says what a word can be combined with; tags carry no grammar. Each noun is a tag too, and
`=tag` holds for an adjective after "be" only.
"""

NOUNS = """
man/men | m Mann/Männer | m homme | person male
woman/women | f Frau/Frauen | f femme | person
boy | m Junge/Jungen/Jungen | m garçon | person male
girl | n Mädchen/Mädchen | f fille | person
child/children | n Kind/Kinder | m enfant | person
father | m Vater/Väter | m père | person male kin
mother | f Mutter/Mütter | f mère | person kin
brother | m Bruder/Brüder | m frère | person male kin
sister | f Schwester/Schwestern | f sœur | person kin
son | m Sohn/Söhne | m fils/fils | person male kin
daughter | f Tochter/Töchter | f fille | person kin
uncle | m Onkel/Onkel | m oncle | person male kin
aunt | f Tante/Tanten | f tante | person kin
grandfather | m Großvater/Großväter | m grand-père/grands-pères | person male kin
grandmother | f Großmutter/Großmütter | f grand-mère/grands-mères | person kin
neighbour | m Nachbar/Nachbarn/Nachbarn | m voisin | person male kin
colleague | m Kollege/Kollegen/Kollegen | m collègue | person male kin
friend | m Freund/Freunde | m ami | person male kin
teacher | m Lehrer/Lehrer | m professeur | person male job
doctor | m Arzt/Ärzte | m médecin | person male job
student | m Student/Studenten/Studenten | m étudiant | person male job
baker | m Bäcker/Bäcker | m boulanger | person male job
policeman/policemen | m Polizist/Polizisten/Polizisten | m policier | person male job
writer | m Schriftsteller/Schriftsteller | m écrivain | person male job
painter | m Maler/Maler | m peintre | person male job
chef | m Koch/Köche | m cuisinier | person male job
gardener | m Gärtner/Gärtner | m jardinier | person male job
engineer | m Ingenieur/Ingenieure | m ingénieur | person male job
salesman/salesmen | m Verkäufer/Verkäufer | m vendeur | person male job
tourist | m Tourist/Touristen/Touristen | m touriste | person male
guest | m Gast/Gäste | m invité | person male
king | m König/Könige | m roi | person male
queen | f Königin/Königinnen | f reine | person
nurse | f Krankenschwester/Krankenschwestern | f infirmière | person
actress/actresses | f Schauspielerin/Schauspielerinnen | f actrice | person

dog | m Hund/Hunde | m chien | animal
cat | f Katze/Katzen | m chat | animal
horse | n Pferd/Pferde | m cheval/chevaux | animal
cow | f Kuh/Kühe | f vache | animal
bird | m Vogel/Vögel | m oiseau/oiseaux | animal
mouse/mice | f Maus/Mäuse | f souris/souris | animal
rabbit | n Kaninchen/Kaninchen | m lapin | animal
goat | f Ziege/Ziegen | f chèvre | animal
duck | f Ente/Enten | m canard | animal
pig | n Schwein/Schweine | m cochon | animal

apple | m Apfel/Äpfel | f pomme | food fruit
pear | f Birne/Birnen | f poire | food fruit
banana | f Banane/Bananen | f banane | food fruit
cherry/cherries | f Kirsche/Kirschen | f cerise | food fruit
egg | n Ei/Eier | m œuf | food
cake | m Kuchen/Kuchen | m gâteau/gâteaux | food
tomato/tomatoes | f Tomate/Tomaten | f tomate | food fruit
potato/potatoes | f Kartoffel/Kartoffeln | f pomme de terre/pommes de terre | food
carrot | f Karotte/Karotten | f carotte | food fruit
onion | f Zwiebel/Zwiebeln | m oignon | food
sausage | f Wurst/Würste | f saucisse | food
pizza | f Pizza/Pizzas | f pizza | food
bread | n Brot | m pain | food mass
cheese | m Käse | m fromage | food mass
meat | n Fleisch | f viande | food mass
rice | m Reis | m riz | food mass
butter | f Butter | m beurre | food mass
soup | f Suppe | f soupe | food mass hot
chocolate | f Schokolade | m chocolat | food mass
honey | m Honig | m miel | food mass
water | n Wasser | f eau | drink mass
coffee | m Kaffee | m café | drink mass hot
tea | m Tee | m thé | drink mass hot
milk | f Milch | m lait | drink mass hot
juice | m Saft | m jus | drink mass
wine | m Wein | m vin | drink mass
beer | n Bier | f bière | drink mass
lemonade | f Limonade | f limonade | drink mass

book | n Buch/Bücher | m livre | text written flat goods
letter | m Brief/Briefe | f lettre | text written flat opened
newspaper | f Zeitung/Zeitungen | m journal/journaux | text flat goods
novel | m Roman/Romane | m roman | text written flat goods
poem | n Gedicht/Gedichte | m poème | text written
report | m Bericht/Berichte | m rapport | text written flat
message | f Nachricht/Nachrichten | m message | text written
story/stories | f Geschichte/Geschichten | f histoire | text written
article | m Artikel/Artikel | m article | text written
postcard | f Postkarte/Postkarten | f carte postale/cartes postales | text written flat goods
magazine | f Zeitschrift/Zeitschriften | m magazine | text flat goods
map | f Karte/Karten | f carte | flat goods looked
song | n Lied/Lieder | f chanson | song

key | m Schlüssel/Schlüssel | f clé | small flat
bag | f Tasche/Taschen | m sac | small goods coloured container opened
bottle | f Flasche/Flaschen | f bouteille | small fragile opened coloured
glass/glasses | n Glas/Gläser | m verre | small fragile
cup | f Tasse/Tassen | f tasse | small fragile goods coloured
knife/knives | n Messer/Messer | m couteau/couteaux | small flat goods
spoon | m Löffel/Löffel | f cuillère | small flat
plate | m Teller/Teller | f assiette | small fragile goods coloured
phone | n Telefon/Telefone | m téléphone | small goods device electric coloured
computer | m Computer/Computer | m ordinateur | small goods device electric
radio | n Radio/Radios | f radio | small goods device electric
lamp | f Lampe/Lampen | f lampe | small goods device electric fragile coloured
clock | f Uhr/Uhren | f horloge | small goods device fragile
mirror | m Spiegel/Spiegel | m miroir | small goods fragile
umbrella | m Regenschirm/Regenschirme | m parapluie | small goods coloured
ball | m Ball/Bälle | m ballon | small goods coloured
flower | f Blume/Blumen | f fleur | small goods coloured drawn planted
gift | n Geschenk/Geschenke | m cadeau/cadeaux | small opened
ticket | f Fahrkarte/Fahrkarten | m billet | small flat goods
stamp | f Briefmarke/Briefmarken | m timbre | small flat goods
pencil | m Bleistift/Bleistifte | m crayon | small flat goods coloured
candle | f Kerze/Kerzen | f bougie | small goods coloured
box/boxes | f Kiste/Kisten | f boîte | small container opened coloured
suitcase | m Koffer/Koffer | f valise | small goods container opened coloured
picture | n Bild/Bilder | m tableau/tableaux | small goods looked
guitar | f Gitarre/Gitarren | f guitare | small goods instrument
piano | n Klavier/Klaviere | m piano | goods instrument
violin | f Geige/Geigen | m violon | small goods instrument
flute | f Flöte/Flöten | f flûte | small goods instrument

coat | m Mantel/Mäntel | m manteau/manteaux | cloth goods coloured
shirt | n Hemd/Hemden | f chemise | cloth goods coloured
dress/dresses | n Kleid/Kleider | f robe | cloth goods coloured
hat | m Hut/Hüte | m chapeau/chapeaux | cloth goods coloured
skirt | m Rock/Röcke | f jupe | cloth goods coloured
jacket | f Jacke/Jacken | f veste | cloth goods coloured
shoe | m Schuh/Schuhe | f chaussure | cloth goods coloured
scarf/scarves | m Schal/Schals | f écharpe | cloth goods coloured
sweater | m Pullover/Pullover | m pull | cloth goods coloured

car | n Auto/Autos | f voiture | vehicle driven goods coloured device
bicycle | n Fahrrad/Fahrräder | m vélo | goods coloured device wheeled
bus/buses | m Bus/Busse | m bus/bus | vehicle driven public coloured
train | m Zug/Züge | m train | vehicle public
boat | n Boot/Boote | m bateau/bateaux | wheeled goods coloured built
truck | m Lastwagen/Lastwagen | m camion | vehicle driven goods coloured device
plane | n Flugzeug/Flugzeuge | m avion | vehicle public

table | m Tisch/Tische | f table | furniture goods surface near
chair | m Stuhl/Stühle | f chaise | furniture goods surface
bed | n Bett/Betten | m lit | furniture goods surface near
sofa | n Sofa/Sofas | m canapé | furniture goods surface near
shelf/shelves | n Regal/Regale | f étagère | furniture goods surface built
cupboard | m Schrank/Schränke | f armoire | furniture goods near container
carpet | m Teppich/Teppiche | m tapis/tapis | furniture goods surface
door | f Tür/Türen | f porte | opened near coloured part
window | n Fenster/Fenster | f fenêtre | opened fragile near part
tree | m Baum/Bäume | m arbre | drawn planted near nature
bridge | f Brücke/Brücken | m pont | built crossed sight
street | f Straße/Straßen | f rue | crossed nature
river | m Fluss/Flüsse | f rivière | crossed nature
tower | m Turm/Türme | f tour | built sight near

house | n Haus/Häuser | f maison | place built near anydet coloured | in, in in, dans dans
garden | m Garten/Gärten | m jardin | place anydet | in, in in, dans dans
park | m Park/Parks | m parc | place sight | in, in in, dans à
school | f Schule/Schulen | f école | place built near | at, in in, à à
station | m Bahnhof/Bahnhöfe | f gare | place | at, an zu, à à
church/churches | f Kirche/Kirchen | f église | place built near sight | in, in in, dans à
market | m Markt/Märkte | m marché | place sight | at, auf auf, à à
museum | n Museum/Museen | m musée | place built near sight | in, in in, à à
hospital | n Krankenhaus/Krankenhäuser | m hôpital/hôpitaux | place built | in, in in, à à
library/libraries | f Bibliothek/Bibliotheken | f bibliothèque | place near | in, in in, à à
kitchen | f Küche/Küchen | f cuisine | place anydet room | in, in in, dans dans
office | n Büro/Büros | m bureau/bureaux | place room | in, in in, à à
room | n Zimmer/Zimmer | f chambre | place anydet room | in, in in, dans dans
restaurant | n Restaurant/Restaurants | m restaurant | place near | in, in in, à à
cinema | n Kino/Kinos | m cinéma | place near | at, in in, à à
theatre | n Theater/Theater | m théâtre | place built sight | at, in in, à à
hotel | n Hotel/Hotels | m hôtel | place built near | at, in in, à à
shop | n Geschäft/Geschäfte | m magasin | place anydet | in, in in, dans dans
bakery/bakeries | f Bäckerei/Bäckereien | f boulangerie | place | at, in in, à à
village | n Dorf/Dörfer | m village | place sight anydet | in, in in, dans à
city/cities | f Stadt/Städte | f ville | place sight anydet | in, in in, dans dans
forest | m Wald/Wälder | f forêt | place nature | in, in in, dans dans
beach/beaches | m Strand/Strände | f plage | place nature | at, an an, à à
airport | m Flughafen/Flughäfen | m aéroport | place | at, an zu, à à
factory/factories | f Fabrik/Fabriken | f usine | place built | in, in in, à à
university/universities | f Universität/Universitäten | f université | place sight | at, an an, à à
castle | n Schloss/Schlösser | m château/châteaux | place built sight near | in, in in, dans à
farm | m Bauernhof/Bauernhöfe | f ferme | place sight | at, auf auf, à à

concert | n Konzert/Konzerte | m concert | event
exhibition | f Ausstellung/Ausstellungen | f exposition | event prepared
party/parties | n Fest/Feste | f fête | event prepared
journey | f Reise/Reisen | m voyage | event prepared
exam | f Prüfung/Prüfungen | m examen | event prepared
wedding | f Hochzeit/Hochzeiten | m mariage | event prepared
breakfast | n Frühstück | m petit-déjeuner | event meal prepared
lunch | n Mittagessen | m déjeuner | event meal prepared
dinner | n Abendessen | m dîner | event meal prepared
"""

ADJECTIVES = """
young/younger | jung/jünger | jeune b | person animal
old/older | alt/älter | vieux/vieille b | person animal text small cloth vehicle furniture place
    wheeled nature part near
tall/taller | groß/größer | grand b | =person tower tree
big/bigger | groß/größer | grand b | animal fruit cake pizza egg sausage onion small container
    vehicle furniture place wheeled nature part near
small/smaller | klein/kleiner | petit b | person animal fruit cake pizza egg sausage onion small
    container vehicle furniture place wheeled part
beautiful | schön/schöner | beau/belle b | cloth flower small text place furniture song nature
    animal woman queen actress
good/better | gut/besser | bon/bonne b | text food job song drink place goods
bad | schlecht | mauvais b | text song job
new/newer | neu/neuer | nouveau/nouvelle b | small cloth vehicle furniture text place goods
    wheeled song job
long/longer | lang/länger | long/longue b | text event song street cloth
short/shorter | kurz/kürzer | court a | text event song
friendly/friendlier | freundlich/freundlicher | sympathique a | person
tired | müde/müder | fatigué a | person animal
happy/happier | glücklich/glücklicher | heureux a | person
sad/sadder | traurig/trauriger | triste a | person song text
rich/richer | reich/reicher | riche a | person
strong/stronger | stark/stärker | fort a | person animal
clever/cleverer | klug/klüger | intelligent a | person animal
famous | berühmt/berühmter | célèbre a | person text sight song picture
sick | krank | malade a | person animal
polite | höflich/höflicher | poli a | person
lazy/lazier | faul/fauler | paresseux a | person animal
shy/shyer | schüchtern/schüchterner | timide a | person
brave/braver | mutig/mutiger | courageux a | person
curious | neugierig/neugieriger | curieux a | person animal
proud/prouder | stolz/stolzer | fier a | person
expensive | teuer/teurer/teur | cher a | goods cloth vehicle furniture event
cheap | billig | bon marché/bon marché/inv a | goods cloth food furniture
heavy/heavier | schwer/schwerer | lourd a | container furniture part piano bottle mirror coat
broken | kaputt | cassé a | fragile device furniture small wheeled
modern | modern/moderner | moderne a | place furniture device picture
empty | leer | vide a | container bottle glass cup place vehicle
important | wichtig/wichtiger | important a | text event
interesting | interessant/interessanter | intéressant a | text event picture sight
boring | langweilig/langweiliger | ennuyeux a | text event
funny/funnier | lustig/lustiger | drôle a | text person song animal
strange/stranger | seltsam/seltsamer | étrange a | text picture person event animal
dirty/dirtier | schmutzig/schmutziger | sale a | cloth vehicle animal furniture part fragile place
    wheeled
clean/cleaner | sauber/sauberer | propre a | cloth vehicle furniture part fragile place
quiet/quieter | ruhig/ruhiger | calme a | place street person
dark/darker | dunkel/dunkler/dunkl | sombre a | place street
noisy/noisier | laut/lauter | bruyant a | place street vehicle animal person
fast/faster | schnell/schneller | rapide a | vehicle wheeled animal
slow/slower | langsam/langsamer | lent a | vehicle wheeled
dangerous | gefährlich/gefährlicher | dangereux a | animal street river journey bridge
warm/warmer | warm/wärmer | chaud a | cloth hot water room
cold/colder | kalt/kälter | froid a | drink food place river
fresh/fresher | frisch/frischer | frais/fraîche a | food drink
delicious | lecker/leckerer | délicieux a | food drink
elegant | elegant/eleganter | élégant a | cloth furniture person
comfortable | bequem/bequemer | confortable a | furniture cloth
red | rot | rouge a | coloured
blue | blau | bleu a | coloured
green | grün | vert a | coloured
white | weiß | blanc/blanche a | coloured animal
black | schwarz | noir a | coloured animal
yellow | gelb | jaune a | coloured
brown | braun | brun a | coloured animal
grey | grau | gris a | coloured animal
"""

COLOURS = ("red", "blue", "green", "white", "black", "yellow", "brown", "grey")

VERBS = """
read/read | lesen, liest, gelesen | lire | obj | person | text
write/wrote/writing | schreiben, schreibt, geschrieben | écrire | obj | person | written
buy/bought | kaufen, kauft, gekauft | acheter | obj | person | goods food
sell/sold | verkaufen, verkauft, verkauft | vendre | obj | person | goods food
see/saw | sehen, sieht, gesehen | voir | obj | person animal | person animal vehicle sight wheeled
    near
find/found | finden, findet, gefunden | trouver | obj | person animal | small animal text cloth
lose/lost/losing | verlieren, verliert, verloren | perdre | obj | person | small cloth
look for | suchen, sucht, gesucht | chercher | obj | person animal | small cloth person animal
look at | an+sehen, sieht, angesehen | regarder | obj | person
    | looked animal house sight text flower
wait for | warten, wartet, gewartet, auf | attendre | obj | person | person public
listen to | zu+hören, hört, zugehört, dat | écouter | obj | person | person
eat/ate | essen, isst, gegessen | manger | obj | person | food
drink/drank | trinken, trinkt, getrunken | boire | obj | person | drink
order | bestellen, bestellt, bestellt | commander | obj | person | food drink book
taste/tasted/tasting | probieren, probiert, probiert | goûter | obj | person | food drink
wash/washed | waschen, wäscht, gewaschen | laver | obj | person | cloth vehicle animal fruit fragile
repair | reparieren, repariert, repariert | réparer | obj | person | device
build/built | bauen, baut, gebaut | construire | obj | person | built
open | auf+machen, macht, aufgemacht | ouvrir | obj | person | opened
close/closed/closing | zu+machen, macht, zugemacht | fermer | obj | person | part container
carry/carried/carrying | tragen, trägt, getragen | porter | obj | person | container small
wear/wore | tragen, trägt, getragen | porter | obj | person | cloth
put +on/put/putting | an+ziehen, zieht, angezogen | mettre | obj | person | cloth
try +on/tried/trying | an+probieren, probiert, anprobiert | essayer | obj | person | cloth
turn +on | ein+schalten, schaltet, eingeschaltet | allumer | obj | person | electric
turn +off | aus+schalten, schaltet, ausgeschaltet | éteindre | obj | person | electric
tidy +up/tidied/tidying | auf+räumen, räumt, aufgeräumt | ranger | obj | person | room
throw +away/threw | weg+werfen, wirft, weggeworfen | jeter | obj | person | text small cloth
invite/invited/inviting | ein+laden, lädt, eingeladen | inviter | obj | person | person
call | an+rufen, ruft, angerufen | appeler | obj | person | person
bring/brought | mit+bringen, bringt, mitgebracht | apporter | obj | person | small food drink
choose/chose/choosing | aus+suchen, sucht, ausgesucht | choisir | obj | person | cloth goods
prepare/prepared/preparing | vor+bereiten, bereitet, vorbereitet | préparer | obj | person
    | prepared
meet/met | treffen, trifft, getroffen | rencontrer | obj | person | person
know/knew | kennen, kennt, gekannt | connaître | state | person | person sight text
like/liked/liking | mögen, mag, gemocht | aimer | state | person animal
    | person animal food drink sight text event
love/loved/loving | lieben, liebt, geliebt | adorer | state | person | person animal song drink
admire/admired/admiring | bewundern, bewundert, bewundert | admirer | obj | person
    | person sight picture
help | helfen, hilft, geholfen, dat | aider | obj | person | person
thank | danken, dankt, gedankt, dat | remercier | obj | person | person
answer | antworten, antwortet, geantwortet, dat | répondre, à | obj | person | person
congratulate/congratulated/congratulating | gratulieren, gratuliert, gratuliert, dat | féliciter
    | obj | person | person
follow | folgen, folgt, gefolgt, dat, sein | suivre | obj | person animal | person animal vehicle
visit | besichtigen, besichtigt, besichtigt | visiter | obj | person | sight
understand/understood | verstehen, versteht, verstanden | comprendre | obj | person | text person
forget/forgot/forgetting | vergessen, vergisst, vergessen | oublier | obj | person
    | small cloth text
use/used/using | benutzen, benutzt, benutzt | utiliser | obj | person
    | electric map knife pencil spoon bicycle
steal/stole | stehlen, stiehlt, gestohlen | voler | obj | person | wheeled driven small cloth
draw/drew | zeichnen, zeichnet, gezeichnet | dessiner | obj | person | animal drawn near person
paint | malen, malt, gemalt | peindre | obj | person | animal drawn sight person
break/broke | zerbrechen, zerbricht, zerbrochen | casser | obj | person | fragile
hide/hid/hiding | verstecken, versteckt, versteckt | cacher | obj | person | small text
feed/fed | füttern, füttert, gefüttert | nourrir | obj | person | animal
catch/caught | fangen, fängt, gefangen | attraper | obj | person animal | animal ball
sing/sang | singen, singt, gesungen | chanter | obj | person | song
hear/heard | hören, hört, gehört | entendre | obj | person animal | person song animal vehicle
miss/missed | verpassen, verpasst, verpasst | rater | obj | person | public
take/took/taking | nehmen, nimmt, genommen | prendre | obj | person | public umbrella bag
drive/drove/driving | fahren, fährt, gefahren | conduire | obj | person | driven
cross/crossed | überqueren, überquert, überquert | traverser | obj | person animal | crossed
plant | pflanzen, pflanzt, gepflanzt | planter | obj | person | planted
talk about | sprechen, spricht, gesprochen, über | parler, de | obj | person
    | person text event sight
think of/thought | denken, denkt, gedacht, an | penser, à | obj | person | person event
dream of | träumen, träumt, geträumt, von | rêver, de | obj | person | event animal vehicle castle
play | spielen, spielt, gespielt | jouer, de | music | person | instrument

sleep/slept | schlafen, schläft, geschlafen | dormir | none | person animal
work | arbeiten, arbeitet, gearbeitet | travailler | none | person
laugh | lachen, lacht, gelacht | rire | none | person
cry/cried/crying | weinen, weint, geweint | pleurer | none | person
smile/smiled/smiling | lächeln, lächelt, gelächelt | sourire | none | person
dance/danced/dancing | tanzen, tanzt, getanzt | danser | none | person
swim/swam/swimming | schwimmen, schwimmt, geschwommen, sein | nager | none | person animal
run/ran/running | laufen, läuft, gelaufen, sein | courir | none | person animal
wait | warten, wartet, gewartet | attendre | none | person animal
cook | kochen, kocht, gekocht | cuisiner | none | person
arrive/arrived/arriving | an+kommen, kommt, angekommen, sein | arriver, être | none | person vehicle
leave/left/leaving | weg+gehen, geht, weggegangen, sein | partir, être | none | person
depart | ab+fahren, fährt, abgefahren, sein | partir, être | none | bus train
come back/came/coming | zurück+kommen, kommt, zurückgekommen, sein | revenir, être | none | person
go out/went | aus+gehen, geht, ausgegangen, sein | sortir, être | none | person
get up/got/getting | auf+stehen, steht, aufgestanden, sein | lever, se | none | person
wake up/woke/waking | auf+wachen, wacht, aufgewacht, sein | réveiller, se | none | person animal
fall asleep/fell | ein+schlafen, schläft, eingeschlafen, sein | endormir, se | none | person animal
rest | aus+ruhen, ruht, ausgeruht, sich | reposer, se | none | person animal

go/went | gehen, geht, gegangen, sein | aller, être | to | person | place
return | zurück+kehren, kehrt, zurückgekehrt, sein | retourner, être | to | person | place geo
travel/travelled/travelling | reisen, reist, gereist, sein | voyager | to | person | geo
come from/came/coming | kommen, kommt, gekommen, sein | venir, être | from | person | geo
live/lived/living | wohnen, wohnt, gewohnt | habiter | in | person | geo anydet
stay | bleiben, bleibt, geblieben, sein | rester, être | in | person | place geo

give/gave/giving | geben, gibt, gegeben | donner | two | person | small food text cloth
show/showed | zeigen, zeigt, gezeigt | montrer | two | person | small text cloth sight looked
send/sent | schicken, schickt, geschickt | envoyer | two | person | small text
lend/lent | leihen, leiht, geliehen | prêter | two | person | small book umbrella bicycle driven
tell/told | erzählen, erzählt, erzählt | raconter | two | person | story
explain | erklären, erklärt, erklärt | expliquer | twoto | person | text map
recommend | empfehlen, empfiehlt, empfohlen | recommander | twoto | person | text sight restaurant

put/put/putting | legen, legt, gelegt | mettre | put | person | flat

say/said | sagen, sagt, gesagt | dire | that | person
know/knew | wissen, weiß, gewusst | savoir | that | person
believe/believed/believing | glauben, glaubt, geglaubt | croire | that | person
hope/hoped/hoping | hoffen, hofft, gehofft | espérer | that | person

be/was | sein, ist, gewesen, sein | être | be | person
have/had/having | haben, hat, gehabt | avoir | have | person | kin animal small driven wheeled
    cloth furniture
cost/cost | kosten, kostet, gekostet | coûter | cost | goods
rain | regnen, regnet, geregnet | pleuvoir | weather | weather
snow | schneien, schneit, geschneit | neiger | weather | weather
"""

NAMES_FEMALE = ("Anna Maria Emma Clara Julia Laura Sophie Nina Lea Eva Marta Lena Paula Sarah "
                "Elena Carla Ida Irene").split()
NAMES_MALE = ("Paul Peter Martin Oliver Simon Leo David Daniel Robert Victor Anton Karl Adam Erik "
              "Oskar Tom Jakob Samuel").split()
SURNAMES = "Weber Keller Moreau Brown Lindner Rossi Novak Dupont".split()

# Cities take in, nach, aus and à, de. Countries with an article name their own forms:
# English | German in, to, from | French in, from.
CITIES = """
Berlin | Berlin | Berlin
Paris | Paris | Paris
London | London | Londres
Vienna | Wien | Vienne
Munich | München | Munich
Rome | Rom | Rome
Prague | Prag | Prague
Geneva | Genf | Genève
Brussels | Brüssel | Bruxelles
Lisbon | Lissabon | Lisbonne
Warsaw | Warschau | Varsovie
Athens | Athen | Athènes
"""
COUNTRIES = """
Germany | Deutschland | en Allemagne, d'Allemagne
France | Frankreich | en France, de France
Italy | Italien | en Italie, d'Italie
Spain | Spanien | en Espagne, d'Espagne
Austria | Österreich | en Autriche, d'Autriche
Poland | Polen | en Pologne, de Pologne
Japan | Japan | au Japon, du Japon
Canada | Kanada | au Canada, du Canada
Denmark | Dänemark | au Danemark, du Danemark
Switzerland | in der Schweiz, in die Schweiz, aus der Schweiz | en Suisse, de Suisse
the Netherlands | in den Niederlanden, in die Niederlande, aus den Niederlanden
    | aux Pays-Bas, des Pays-Bas
"""

# English | German | French | tenses it goes with
TIMES = """
today | heute | aujourd'hui | present future
now | jetzt | maintenant | present
every day | jeden Tag | tous les jours | present
every morning | jeden Morgen | tous les matins | present
in the evening | am Abend | le soir | present
at the weekend | am Wochenende | le week-end | present
yesterday | gestern | hier | past
this morning | heute Morgen | ce matin | past
last week | letzte Woche | la semaine dernière | past
last month | letzten Monat | le mois dernier | past
last year | letztes Jahr | l'année dernière | past
last summer | letzten Sommer | l'été dernier | past
tomorrow | morgen | demain | future
soon | bald | bientôt | future
next week | nächste Woche | la semaine prochaine | future
next month | nächsten Monat | le mois prochain | future
next year | nächstes Jahr | l'année prochaine | future
tonight | heute Abend | ce soir | future
"""
FREQUENCIES = """
often | oft | souvent
always | immer | toujours
sometimes | manchmal | parfois
rarely | selten | rarement
"""
WEEKDAYS = """
Monday | Montag | lundi
Tuesday | Dienstag | mardi
Wednesday | Mittwoch | mercredi
Thursday | Donnerstag | jeudi
Friday | Freitag | vendredi
Saturday | Samstag | samedi
Sunday | Sonntag | dimanche
"""
MONTHS = """
January | Januar | janvier
February | Februar | février
March | März | mars
April | April | avril
May | Mai | mai
June | Juni | juin
July | Juli | juillet
August | August | août
September | September | septembre
October | Oktober | octobre
November | November | novembre
December | Dezember | décembre
"""

# Each names the English word, the German word with its case and the French word.
PREPOSITIONS = """
with | mit dat | avec
without | ohne acc | sans
for | für acc | pour
after | nach dat | après
before | vor dat | avant
on | auf two | sur
under | unter two | sous
behind | hinter two | derrière
next to | neben two | à côté de
in front of | vor two | devant
in | in two | dans
"""

# Present (je tu il nous ils), stem of the future, past participle. Verbs in -er, -ir (choisir)
# and -re (vendre) that are not here follow the rule.
FRENCH_IRREGULAR = """
être | suis es est sommes sont | ser | été
avoir | ai as a avons ont | aur | eu
aller | vais vas va allons vont | ir | allé
pouvoir | peux peux peut pouvons peuvent | pourr | pu
devoir | dois dois doit devons doivent | devr | dû
vouloir | veux veux veut voulons veulent | voudr | voulu
savoir | sais sais sait savons savent | saur | su
dire | dis dis dit disons disent | dir | dit
croire | crois crois croit croyons croient | croir | cru
lire | lis lis lit lisons lisent | lir | lu
écrire | écris écris écrit écrivons écrivent | écrir | écrit
voir | vois vois voit voyons voient | verr | vu
boire | bois bois boit buvons boivent | boir | bu
construire | construis construis construit construisons construisent | construir | construit
conduire | conduis conduis conduit conduisons conduisent | conduir | conduit
ouvrir | ouvre ouvres ouvre ouvrons ouvrent | ouvrir | ouvert
mettre | mets mets met mettons mettent | mettr | mis
éteindre | éteins éteins éteint éteignons éteignent | éteindr | éteint
peindre | peins peins peint peignons peignent | peindr | peint
connaître | connais connais connaît connaissons connaissent | connaîtr | connu
suivre | suis suis suit suivons suivent | suivr | suivi
comprendre | comprends comprends comprend comprenons comprennent | comprendr | compris
prendre | prends prends prend prenons prennent | prendr | pris
dormir | dors dors dort dormons dorment | dormir | dormi
endormir | endors endors endort endormons endorment | endormir | endormi
sortir | sors sors sort sortons sortent | sortir | sorti
partir | pars pars part partons partent | partir | parti
rire | ris ris rit rions rient | rir | ri
sourire | souris souris sourit sourions sourient | sourir | souri
courir | cours cours court courons courent | courr | couru
venir | viens viens vient venons viennent | viendr | venu
revenir | reviens reviens revient revenons reviennent | reviendr | revenu
envoyer | envoie envoies envoie envoyons envoient | enverr | envoyé
essayer | essaie essaies essaie essayons essaient | essaier | essayé
acheter | achète achètes achète achetons achètent | achèter | acheté
lever | lève lèves lève levons lèvent | lèver | levé
appeler | appelle appelles appelle appelons appellent | appeller | appelé
jeter | jette jettes jette jetons jettent | jetter | jeté
espérer | espère espères espère espérons espèrent | espérer | espéré
pleuvoir | - - pleut - pleuvent | pleuvr | plu
"""
# Present subjunctive where it does not follow from the present (je tu il nous ils).
FRENCH_SUBJUNCTIVE = """
être | sois sois soit soyons soient
avoir | aie aies ait ayons aient
aller | aille ailles aille allions aillent
pouvoir | puisse puisses puisse puissions puissent
savoir | sache saches sache sachions sachent
vouloir | veuille veuilles veuille voulions veuillent
"""
